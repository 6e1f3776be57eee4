"""Processes and sockets as /proc has them (proc(5)).

A process may end while it is looked at: it is then as if it had not been there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_LISTEN, _UNCONNECTED = "0A", "07"  # include/net/tcp_states.h
_EMPTY = ("",) * 10
_ACCEPTS = 0x10000  # __SO_ACCEPTCON of linux/net.h
_DATAGRAM = "0002"
# What has no path is bound to nothing. Who puts a line break into one hides no other line.
_UNIX = re.compile(
    r"\S+: \S+ \S+ (?P<flags>[0-9A-F]{8}) (?P<type>\d{4}) \d\d +(?P<inode>\d+) (?P<path>.+)"
)
_INTERNET = {
    "tcp": _LISTEN,
    "tcp6": _LISTEN,
    # What is not connected takes datagrams from anybody.
    "udp": _UNCONNECTED,
    "udp6": _UNCONNECTED,
    "udplite": _UNCONNECTED,
    "udplite6": _UNCONNECTED,
    "raw": _UNCONNECTED,
    "raw6": _UNCONNECTED,
}


@dataclasses.dataclass(frozen=True)
class Process:
    """One process: all four of its uids."""

    pid: int
    parent: int
    name: str
    uids: frozenset[int]


@dataclasses.dataclass(frozen=True)
class Socket:
    """Something that listens, or takes datagrams.

    Attributes:
        kind: `tcp`, `udp`, `udplite` or `raw`; `unix` or `abstract`.
        address: with the port; a path as it was bound, which may be relative; or a name.
        inode: of the socket itself, not of its file.
        uid: whose it is; None for Unix sockets, of which /proc does not say.
    """

    kind: str
    address: str
    inode: int
    uid: int | None


class Procfs:
    """/proc, or something of its form."""

    def __init__(self, root: Path = Path("/proc")) -> None:
        self._root = str(root)

    def processes(self) -> dict[int, Process]:
        """Everything that runs, by pid."""
        pids = [int(name) for name in _names(self._root) if name.isdigit()]
        return {pid: found for pid in pids if (found := self._process(pid)) is not None}

    def _process(self, pid: int) -> Process | None:
        try:
            status = self._text(f"{pid}/status")
        except OSError:
            return None
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if fields["State"].strip()[0] in "ZX":
            return None
        uids = frozenset(int(uid) for uid in fields["Uid"].split())
        return Process(pid, int(fields["PPid"]), fields["Name"].strip(), uids)

    def arguments(self, pid: int) -> list[str]:
        """What it was started with; empty when it has ended."""
        try:
            return self._text(f"{pid}/cmdline").split("\0")
        except OSError:
            return []

    def environment(self, pid: int) -> dict[str, str]:
        """What it was started with; empty when it has ended or is not ours to see."""
        try:
            text = self._text(f"{pid}/environ")
        except OSError:
            return {}
        return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)

    def directory(self, pid: int) -> str | None:
        """Its working directory."""
        try:
            return _link(f"{self._root}/{pid}/cwd")
        except OSError:
            return None

    def network(self, task: str | int) -> str | None:
        """The network namespace of a process or a thread, such as `net:[4026531840]`."""
        try:
            return _link(f"{self._root}/{task}/ns/net")
        except OSError:
            return None

    def is_contained(self, pid: int) -> bool:
        """Whether it sees other pids than we do, with a user namespace that is ours: only root
        makes that, and a container of another system is what comes of it. Who has no rights
        gets pids of its own together with users of its own (user_namespaces(7)).
        """
        try:
            mine, its = (
                [_link(f"{self._root}/{process}/ns/{kind}") for kind in ("pid", "user")]
                for process in ("self", pid)
            )
        except OSError:
            return False
        return mine[0] != its[0] and mine[1] == its[1]

    def tasks(self, pid: int) -> list[str]:
        """Its threads, `PID/task/TID`: each may have files and a namespace of its own."""
        try:
            return [f"{pid}/task/{name}" for name in _names(f"{self._root}/{pid}/task")]
        except OSError:
            return []

    def held(self, task: str | int) -> set[int]:
        """Inodes of the sockets that a process, or a thread, has open.

        Raises:
            PermissionError: that is not ours to see.
        """
        directory, found = f"{self._root}/{task}/fd", set()
        try:
            names = _names(directory)
        except (FileNotFoundError, ProcessLookupError):
            return set()
        for name in names:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                target = _link(f"{directory}/{name}")
                if target.startswith("socket:["):
                    found.add(int(target[8:-1]))
        return found

    def listening(self, task: str | int) -> Iterator[Socket]:
        """Everything that listens in the network namespace of a process or a thread."""
        for table, state in _INTERNET.items():
            for line in self._table(f"{task}/net/{table}"):
                _, local, _, found_state, _, _, _, uid, _, inode, *_ = (*line.split(), *_EMPTY)
                if found_state == state:
                    yield Socket(table.removesuffix("6"), _address(local), int(inode), int(uid))
        for line in self._table(f"{task}/net/unix"):
            found = _UNIX.fullmatch(line)
            if found and (int(found["flags"], 16) & _ACCEPTS or found["type"] == _DATAGRAM):
                path = found["path"]
                kind = "abstract" if path.startswith("@") else "unix"
                yield Socket(kind, path.removeprefix("@"), int(found["inode"]), None)

    def _table(self, name: str) -> list[str]:
        try:
            return self._text(name).split("\n")[1:]
        except OSError:
            return []  # the process has ended, or the kernel has no such protocol

    def _text(self, name: str) -> str:
        with open(f"{self._root}/{name}", "rb") as file:  # noqa: PTH123 — thousands of times
            return file.read().decode(errors="surrogateescape")


# Thousands of times in a row, for which `pathlib` is too slow.
def _names(directory: str) -> list[str]:
    return os.listdir(directory)  # noqa: PTH208


def _link(path: str) -> str:
    return os.readlink(path)  # noqa: PTH115


def _address(text: str) -> str:
    """`0100007F:4E34`, 32-bit words in the machine's order, as `127.0.0.1:20020`."""
    words, port = text.split(":")
    raw = b"".join(
        int(words[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(words), 8)
    )
    host = ipaddress.ip_address(raw)
    return f"{host if host.version == 4 else f'[{host}]'}:{int(port, 16)}"  # noqa: PLR2004
