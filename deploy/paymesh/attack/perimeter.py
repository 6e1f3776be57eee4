"""A perimeter: namespaces from which one port of the mesh can be reached, and no file of it.

Nothing in the network namespace has a way out. The forwarder (`paymesh.attack.forwarder`)
listens in it at the gateway's own address and port, and hands each connection's bytes to
the real gateway, as the perimeter of a flat network does. In the mount namespace the mesh's
home is empty, because whoever is outside is on another machine: a Unix socket is found by
its path whatever network one is in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from paymesh.attack.uids import FORWARDER, stranger_uid
from paymesh.errors import ConfigError, StartError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import launch
from paymesh.runtime.accounts import load_accounts

_KINDS = ("net", "mount")
_START_SECONDS = 10.0
_END_SECONDS = 5.0
_PACKAGES = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Perimeter:
    """One that stands. `namespaces` are `net` and `mount`, as files for `nsenter`."""

    namespaces: Mapping[str, Path]
    address: str
    port: int


@contextlib.contextmanager
def perimeter(mesh: Mesh, paths: Paths | None = None) -> Iterator[Perimeter]:
    """Puts one up for the length of the block. Should this process be killed, the
    forwarder ends, and the namespaces with it.

    Args:
        mesh: says where the gateway is.
        paths: whose home is not there for who is outside.

    Raises:
        ConfigError: this is not root.
        StartError: the forwarder does not start, where root may make no namespaces say;
            its last line says why.
    """
    if not load_accounts(mesh).separate:
        raise ConfigError("a perimeter is a network namespace: run as root")
    gateway = next(w for w in mesh.workloads.values() if w.kind == "gateway")
    port = int(gateway.port or 0)
    with _forwarder(mesh, port, paths.home if paths else None) as descriptors:
        files = [Path(f"/proc/{os.getpid()}/fd/{descriptor}") for descriptor in descriptors]
        yield Perimeter(dict(zip(_KINDS, files, strict=True)), mesh.address, port)


@contextlib.contextmanager
def _forwarder(mesh: Mesh, port: int, hidden: Path | None) -> Iterator[list[int]]:
    """Descriptors of the namespaces that it made."""
    order = {
        "address": mesh.address,
        "port": port,
        "uid": stranger_uid(mesh, FORWARDER),
        "hidden": os.fspath(hidden) if hidden else None,
    }
    with contextlib.ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "paymesh.attack.forwarder", json.dumps(order)],
                # It ends when the other side of this does, which is when this process does.
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                env=launch.minimal_environment(
                    Path("/"), {"PYTHONPATH": str(_PACKAGES), "PYTHONSAFEPATH": "1"}
                ),
                # Ctrl-C is this process's business: it serves until the block is left.
                start_new_session=True,
            )
        stack.callback(_end, process, ours)
        descriptors = _namespaces(process, ours)
        for descriptor in descriptors:
            stack.callback(os.close, descriptor)
        yield descriptors


def _namespaces(process: subprocess.Popen[bytes], connection: socket.socket) -> list[int]:
    """What the forwarder sends once it listens."""
    connection.settimeout(_START_SECONDS)
    try:
        _, descriptors, _, _ = socket.recv_fds(connection, 1, len(_KINDS))
    except TimeoutError:
        descriptors = []
    if descriptors:
        return descriptors
    process.kill()
    _, errors = process.communicate()
    lines = errors.decode(errors="replace").strip().splitlines()
    why = lines[-1] if lines else f"the forwarder said nothing for {_START_SECONDS:.0f} s"
    raise StartError(f"the perimeter cannot be put up: {why}")


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stderr is not None:
            process.stderr.close()
