"""The perimeter's one open port: listens in a network namespace of its own, connects in
the one that it was started in. It makes a mount namespace too, without the mesh's home.

A socket stays in the namespace that it was made in (network_namespaces(7)), so that one
process has both ends: it makes a namespace, listens, goes back and gives up its
privileges. `setns` is called by ctypes because Python 3.11 has none.

Started with one argument, JSON: `address` and `port`, listened at and connected to, `uid`,
and `hidden`, a directory or null. Standard input is a Unix socket: descriptors of the two
namespaces are sent there when the forwarder listens, and it ends when the other side does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000  # unshare(2)
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = (
    *(1, 2, 4, 8, 1 << 14, 1 << 18),  # mount(2)
)
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38  # prctl(2)
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1  # netdevice(7)
_INTERFACE = struct.Struct("16sH22x")  # struct ifreq: a name, and a union of 24 bytes
_MOST_CONNECTIONS = 512
_CONNECT_SECONDS = 5.0
_CHUNK_BYTES = 1 << 16
_SELF_NETWORK, _SELF_MOUNTS = "/proc/thread-self/ns/net", "/proc/thread-self/ns/mnt"


def main(order: str) -> None:
    """Serves until standard input ends."""
    wanted = json.loads(order)
    listener, network = _listen_in_new_namespace(wanted["address"], wanted["port"])
    mounts = _hide_in_new_namespace(wanted["hidden"])
    _give_up_privileges(wanted["uid"])
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as starter:
        socket.send_fds(starter, [b"\0"], [network, mounts])
        os.close(network)
        os.close(mounts)
        asyncio.run(_serve(listener, starter, wanted["address"], wanted["port"]))


def _listen_in_new_namespace(address: str, port: int) -> tuple[socket.socket, int]:
    home = os.open(_SELF_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
    _call("unshare", _CLONE_NEWNET)
    namespace = os.open(_SELF_NETWORK, os.O_RDONLY | os.O_CLOEXEC)
    _raise_loopback()
    listener = socket.create_server((address, port), backlog=_MOST_CONNECTIONS)
    _call("setns", home, _CLONE_NEWNET)
    os.close(home)
    return listener, namespace


def _hide_in_new_namespace(hidden: str | None) -> int:
    _call("unshare", _CLONE_NEWNS)
    # What is mounted from here on is mounted here only (mount_namespaces(7)).
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE, None)
    if hidden is not None:
        flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        _mount("none", hidden, "tmpfs", flags, "size=4k,mode=755")
    return os.open(_SELF_MOUNTS, os.O_RDONLY | os.O_CLOEXEC)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount at {target}: {os.strerror(number)}")


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        found = fcntl.ioctl(control, _SIOCGIFFLAGS, _INTERFACE.pack(b"lo", 0))
        _, flags = _INTERFACE.unpack(found)
        fcntl.ioctl(control, _SIOCSIFFLAGS, _INTERFACE.pack(b"lo", flags | _IFF_UP))


def _give_up_privileges(uid: int) -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
    for capability in range(last + 1):
        with contextlib.suppress(PermissionError):  # without CAP_SETPCAP they stay as they are
            _call("prctl", _PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*(ctypes.c_long(argument) for argument in arguments)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


async def _serve(listener: socket.socket, starter: socket.socket, address: str, port: int) -> None:
    places = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with places:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    answers, asker = await asyncio.open_connection(address, port)
            except OSError:
                writer.transport.abort()
                return
            both = (writer, asker)
            try:
                await asyncio.gather(_pass_on(reader, asker, both), _pass_on(answers, writer, both))
            finally:
                for end in both:
                    end.close()

    server = await asyncio.start_server(forward, sock=listener)
    starter.settimeout(0)
    # Nothing is ever sent: what arrives is the end.
    with contextlib.suppress(OSError):
        await asyncio.get_running_loop().sock_recv(starter, 1)
    server.close()


async def _pass_on(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
) -> None:
    """Passes on bytes, then the end of them; a reset of one side resets the other."""
    try:
        while chunk := await source.read(_CHUNK_BYTES):
            target.write(chunk)
            await target.drain()
        target.write_eof()
    except OSError:
        for end in both:
            end.transport.abort()


if __name__ == "__main__":
    main(sys.argv[1])
