"""A perimeter: a network namespace from which one port of the mesh can be reached.

Nothing in the namespace has a way out. The forwarder (`paymesh.attack.forwarder`) listens
in it at the gateway's own address and port, and hands each connection's bytes to the real
gateway, as the perimeter of a flat network does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from paymesh.attack.uids import FORWARDER, stranger_uid
from paymesh.errors import ConfigError, StartError
from paymesh.mesh import Mesh
from paymesh.runtime import launch
from paymesh.runtime.accounts import load_accounts

_START_SECONDS = 10.0
_END_SECONDS = 5.0
_PACKAGES = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Perimeter:
    """One that stands. `network` is the namespace, as a file for `nsenter --net`."""

    network: Path
    address: str
    port: int


@contextlib.contextmanager
def perimeter(mesh: Mesh) -> Iterator[Perimeter]:
    """Puts one up for the length of the block. Should this process be killed, the
    forwarder ends, and the namespace with it.

    Raises:
        ConfigError: this is not root.
        StartError: the forwarder does not start, where root may make no namespaces say;
            its last line says why.
    """
    if not load_accounts(mesh).separate:
        raise ConfigError("a perimeter is a network namespace: run as root")
    gateway = next(w for w in mesh.workloads.values() if w.kind == "gateway")
    port = int(gateway.port or 0)
    with _forwarder(mesh, port) as namespace:
        yield Perimeter(Path(f"/proc/{os.getpid()}/fd/{namespace}"), mesh.address, port)


@contextlib.contextmanager
def _forwarder(mesh: Mesh, port: int) -> Iterator[int]:
    """A descriptor of the namespace in which it listens."""
    order = {"address": mesh.address, "port": port, "uid": stranger_uid(mesh, FORWARDER)}
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
        namespace = _namespace(process, ours)
        stack.callback(os.close, namespace)
        yield namespace


def _namespace(process: subprocess.Popen[bytes], connection: socket.socket) -> int:
    """What the forwarder sends once it listens."""
    connection.settimeout(_START_SECONDS)
    try:
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    except TimeoutError:
        descriptors = []
    if descriptors:
        return descriptors[0]
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
