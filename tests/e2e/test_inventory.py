"""What listens in the running mesh, and what its keys and sockets belong to, is declared."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.world import World
from paymesh import checks
from paymesh.attack import positions
from paymesh.attack.inventory import Inventory
from paymesh.attack.model import other_targets
from paymesh.mesh import repository_root
from paymesh.runtime import control

_LISTENS = "everything that listens is in the inventory"
_OWNERS = "sockets, directories and keys are as the inventory has them"

_needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can act under another workload's uid"
)


@pytest.fixture(scope="module")
def inventory(world: World) -> Inventory:
    """Of the checkout that the mesh runs from, which is a copy."""
    return Inventory.load(repository_root(), world.mesh)


def test_nothing_listens_that_is_not_declared(world: World, inventory: Inventory) -> None:
    """And everything was looked at."""
    control.wait_ready(world.paths)
    assert [str(one) for one in inventory.undeclared(world.paths)] == []
    assert inventory.unseen(world.paths) == ()


def test_everything_that_is_declared_listens(world: World, inventory: Inventory) -> None:
    """With the owners, groups and modes that are declared."""
    control.wait_ready(world.paths)
    assert inventory.missing(world.paths) == []
    assert [str(one) for one in inventory.wrong(world.paths)] == []


def test_what_is_stopped_is_missing(world: World, inventory: Inventory) -> None:
    """Each address of it, and nothing else."""
    with control.stopped(world.paths, "bank-link-pdp"):
        missing = {one.address for one in inventory.missing(world.paths)}
    port = world.mesh.workloads["bank-link"].pdp_port
    assert missing == {"run/bank-link/authz.sock", f"{world.mesh.address}:{port}"}


def test_every_target_has_a_way_to_it(world: World, inventory: Inventory) -> None:
    """What can be attacked at all listens, or is a key in a file."""
    ways = {name for one in inventory.declared.listeners for name in one.leads_to}
    ways |= {name for one in inventory.declared.files for name in one.holds}
    wanted = {target.destination for target in other_targets(world.mesh)}
    wanted |= {workload.name for workload in world.mesh.sidecars()}
    assert wanted <= ways | {name for name in wanted if f"{name.partition(':')[0]}:*" in ways}


_TCP = "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])"
_UDP = (
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0));"
    "print(s.getsockname()[1])"
)
_UNIX = "s = socket.socket(socket.AF_UNIX); s.bind('extra.sock'); s.listen(); print('extra.sock')"
_ABSTRACT = (
    "n = f'paymesh-{os.getpid()}'; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
    "s.bind('\\0' + n); print(n)"
)
# Beside Envoy, at its own port: a stranger's connections would go to either.
_SAME_PORT = (
    "s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1);"
    "s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); print(sys.argv[1])"
)
_OPENED = {
    "a TCP port": (_TCP, "tcp 127.0.0.1:{}"),
    "a UDP port": (_UDP, "udp 127.0.0.1:{}"),
    "a Unix socket": (_UNIX, "unix {home}/run/payments/{}"),
    "an abstract socket": (_ABSTRACT, "abstract {}"),
    "the sidecar's own port": (_SAME_PORT, "tcp 127.0.0.1:{}"),
}


@contextlib.contextmanager
def _listening(world: World, script: str) -> Iterator[str]:
    """A process of payments's uid that has opened something; yields what it says of it."""
    line = f"import os, socket, sys; {script}; sys.stdin.read()"
    port = str(world.mesh.workloads["payments"].port)
    with positions.started_at(world.paths, world.mesh, "payments", ["-c", line, port]) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()


@_needs_root
@pytest.mark.parametrize("what", sorted(_OPENED))
def test_what_a_workload_opens_beside_is_found(
    world: World, inventory: Inventory, what: str
) -> None:
    """By a process that has left the supervisor, and it is named with its uid's owner."""
    script, shown = _OPENED[what]
    try:
        with _listening(world, script) as said:
            found = [str(one) for one in inventory.undeclared(world.paths)]
            address = shown.format(said, home=world.paths.home)
            assert len(found) == 1, found
            assert found[0].startswith(f"{address}, held by python"), found
            assert found[0].endswith("under payments's uid")
            assert _problem(world, _LISTENS) == f"nobody declared {found[0]}"
    finally:
        (world.paths.workload("payments") / "extra.sock").unlink(missing_ok=True)
    assert inventory.undeclared(world.paths) == []
    assert _problem(world, _LISTENS) is None


def test_a_socket_that_is_left_lying_is_found(world: World, inventory: Inventory) -> None:
    """Nobody has it open, and it stands in a directory of the mesh."""
    path = world.paths.home / "stray.sock"
    with socket.socket(socket.AF_UNIX) as stray:
        stray.bind(str(path))
    try:
        (found,) = inventory.undeclared(world.paths)
        assert str(found) == f"unix {path}, held by no process that was seen"
    finally:
        path.unlink()


@contextlib.contextmanager
def _mode(path: Path, mode: int) -> Iterator[None]:
    before = path.stat().st_mode & 0o7777
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("run/ledger", 0o755),
        ("run/spire-agent", 0o757),
        ("run/ledger/app.sock", 0o666),
        ("run/ledger/dsn", 0o444),
        ("data/spire-server/keys.json", 0o644),
        ("secrets/pki/bundle.key", 0o644),
    ],
)
def test_what_is_opened_to_others_is_named(
    world: World, inventory: Inventory, path: str, mode: int
) -> None:
    """A socket, a directory on the way to one, a password and a key."""
    full = world.paths.home / path
    with _mode(full, mode):
        found = [str(one) for one in inventory.wrong(world.paths)]
        assert any(line.startswith(f"{full} has mode {mode:04o}, declared ") for line in found)
        problem = _problem(world, _OWNERS)
        assert problem is not None
        assert str(full) in problem
    assert inventory.wrong(world.paths) == []
    assert _problem(world, _OWNERS) is None


def _problem(world: World, name: str) -> str | None:
    context = checks.Context(world.paths, world.mesh, world.grants)
    (finding,) = (f for f in checks.SECTIONS["sockets"](context) if f.name == name)
    assert (finding.problem is None) == (finding.level is checks.Level.OK)
    assert (finding.problem is None) == (finding.mend is None)
    return finding.problem
