"""Each position is what docs/attack-paths.md says it is, and nothing of it stays behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paymesh.attack import positions
from paymesh.attack.model import INSIDE, OPERATOR, OUTSIDE
from paymesh.attack.uids import FORWARDER, stranger_uid
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh, load_mesh
from paymesh.paths import Paths, default_paths
from paymesh.runtime.accounts import Accounts
from paymesh.runtime.files import ensure_directory
from paymesh.runtime.identity import ProcessId, identify

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can be at another's position"),
]

_STRANGERS = (OUTSIDE, INSIDE, OPERATOR)
# Bind to nothing but the ports that the kernel gives: the gateway's comes from there too.
_LOOK = """
import json, os, socket, sys
asked = json.load(sys.stdin)
def connect(kind, address):
    with socket.socket(kind, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        try:
            connection.connect(address)
            return connection.recv(100).decode()
        except OSError as error:
            return type(error).__name__
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
def may_enter(path):
    try:
        return bool(os.listdir(path)) or True
    except OSError as error:
        return type(error).__name__
import h2.connection
import paymesh.attack.model
print(json.dumps({
    "tcp": {port: connect(socket.AF_INET, ("127.0.0.1", int(port))) for port in asked["ports"]},
    "abstract": connect(socket.AF_UNIX, "\\0" + asked["abstract"]),
    "enters": {path: may_enter(path) for path in asked["directories"]},
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    "capabilities": [int(status[name], 16) for name in status if name.startswith("Cap")],
    "no_new_privs": int(status["NoNewPrivs"]),
    "directory": os.getcwd(),
    "holds": os.listdir("."),
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:3],
}))
"""


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    """A home with the workloads' directories and nothing that runs."""
    home = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))
    home.chmod(0o755)
    made = Paths(home=home, cache=default_paths().cache)
    accounts = Accounts(load_mesh(port_offset=0), separate=True)
    ensure_directory(made.run, 0o755)
    for name in accounts.mesh.workloads:
        ensure_directory(made.workload(name), 0o700, accounts.of(name))
    yield made
    shutil.rmtree(home)


def _serve(listener: socket.socket, greeting: bytes) -> None:
    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(greeting)

    threading.Thread(target=answer, daemon=True).start()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Any]]:
    """Stand-ins: the gateway, a service, and something on an abstract socket."""
    gateway, service = socket.create_server(("127.0.0.1", 0)), socket.create_server(("", 0))
    abstract = socket.socket(socket.AF_UNIX)
    name = f"paymesh-test-{os.getpid()}"
    abstract.bind("\0" + name)
    abstract.listen()
    for listener, greeting in ((gateway, b"gateway"), (service, b"service"), (abstract, b"here")):
        _serve(listener, greeting)
    yield {
        "gateway": gateway.getsockname()[1],
        "service": service.getsockname()[1],
        "abstract": name,
    }
    for listener in (gateway, service, abstract):
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture(scope="module")
def mesh(servers: dict[str, Any]) -> Mesh:
    """The committed one with the stand-in's port as the gateway's."""
    return _with("gateway", port=servers["gateway"])


Look = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def look(paths: Paths, mesh: Mesh, servers: dict[str, Any]) -> Look:
    """What a program sees from a position."""
    asked = {
        "ports": [servers["gateway"], servers["service"]],
        "abstract": servers["abstract"],
        "directories": [str(paths.workload(name)) for name in mesh.workloads],
    }

    def from_position(position: str) -> dict[str, Any]:
        stdin = json.dumps(asked).encode()
        done = positions.run_at(paths, mesh, position, ["-c", _LOOK], stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return from_position


def test_outside_sees_the_gateway_and_nothing_else(look: Look, servers: dict[str, Any]) -> None:
    """The gateway answers through the perimeter; other ports and abstract sockets refuse."""
    seen = look(OUTSIDE)
    assert seen["tcp"] == {
        str(servers["gateway"]): "gateway",
        str(servers["service"]): "ConnectionRefusedError",
    }
    assert seen["abstract"] == "ConnectionRefusedError"


def test_outside_has_no_file_of_the_mesh(paths: Paths, mesh: Mesh) -> None:
    """Not even one that everybody on the machine may use, sockets included; inside has."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(paths.home / "open.sock"))
        listener.listen()
        (paths.home / "open.sock").chmod(0o777)
        script = (
            "import os, socket, sys\n"
            "home = sys.stdin.read()\n"
            "print(os.listdir(home))\n"
            "print(socket.socket(socket.AF_UNIX).connect_ex(home + '/open.sock'))"
        )
        home = str(paths.home).encode()
        inside = positions.run_at(paths, mesh, INSIDE, ["-c", script], stdin=home)
        outside = positions.run_at(paths, mesh, OUTSIDE, ["-c", script], stdin=home)
    (paths.home / "open.sock").unlink()
    assert inside.stdout.split()[-1] == b"0", inside.stderr
    assert outside.stdout.split() == [b"[]", b"%d" % errno.ENOENT], outside.stderr
    assert b"run" in inside.stdout


@pytest.mark.parametrize("position", [INSIDE, OPERATOR, "ledger"])
def test_whoever_is_inside_is_on_the_machines_network(
    look: Look, servers: dict[str, Any], position: str
) -> None:
    """Every port of the loopback and the abstract sockets can be reached."""
    seen = look(position)
    assert seen["tcp"] == {
        str(servers["gateway"]): "gateway",
        str(servers["service"]): "service",
    }
    assert seen["abstract"] == "here"


@pytest.mark.parametrize("position", _STRANGERS)
def test_a_stranger_is_nobody(look: Look, mesh: Mesh, position: str) -> None:
    """A uid of its own, no groups, no workload's directory, an empty one to stand in."""
    seen = look(position)
    uid = stranger_uid(mesh, position)
    assert seen["ids"] == [[uid] * 3, [uid] * 3, []]
    refused = "FileNotFoundError" if position == OUTSIDE else "PermissionError"
    assert set(seen["enters"].values()) == {refused}
    assert seen["holds"] == []
    assert not Path(seen["directory"]).exists()


def test_a_workloads_position_is_the_workload(look: Look, paths: Paths, mesh: Mesh) -> None:
    """Its uid, its groups and its directory, and no other workload's directory."""
    seen = look("ledger")
    account = Accounts(mesh, separate=True).of("ledger")
    assert account is not None
    assert seen["ids"] == [[account.uid] * 3, [account.gid] * 3, list(account.groups)]
    assert seen["directory"] == str(paths.workload("ledger"))
    entered = [path for path, found in seen["enters"].items() if found is True]
    assert entered == [str(paths.workload("ledger"))]


@pytest.mark.parametrize("position", [*_STRANGERS, "ledger"])
def test_no_position_has_privileges(look: Look, position: str) -> None:
    """Every set of capabilities is empty, none can be gained, and no descriptor is left."""
    seen = look(position)
    assert set(seen["capabilities"]) == {0}
    assert seen["no_new_privs"] == 1
    assert seen["descriptors"] == [0, 1, 2]


def test_several_positions_run_at_once(paths: Paths, mesh: Mesh) -> None:
    """Each with its own arguments and input, in one perimeter."""
    script = "import os, sys; print(os.getuid(), sys.stdin.read())"
    with positions.perimeter(mesh, paths) as standing:
        found = positions.run_at_each(
            paths,
            mesh,
            {name: (["-c", script], name.encode()) for name in (*_STRANGERS, "ledger")},
            perimeter=standing,
        )
    uids = {name: stranger_uid(mesh, name) for name in _STRANGERS} | {"ledger": mesh.uid("ledger")}
    assert {name: done.stdout.decode().split() for name, done in found.items()} == {
        name: [str(uid), name] for name, uid in uids.items()
    }


def test_much_passes_the_perimeter(paths: Paths) -> None:
    """A megabyte each way, at once, and then the end of it."""
    size = 1 << 20
    with socket.create_server(("127.0.0.1", 0)) as listener:
        echo = threading.Thread(target=_echo, args=[listener], daemon=True)
        echo.start()
        port = listener.getsockname()[1]
        script = (
            "import socket, threading\n"
            f"c = socket.create_connection(('127.0.0.1', {port}))\n"
            "def send():\n"
            f"    c.sendall(bytes({size})); c.shutdown(socket.SHUT_WR)\n"
            "threading.Thread(target=send).start()\n"
            "print(sum(len(chunk) for chunk in iter(lambda: c.recv(1 << 16), b'')))"
        )
        done = positions.run_at(paths, _with("gateway", port=port), OUTSIDE, ["-c", script])
        echo.join(10)
    assert done.stdout.strip() == b"%d" % size, done.stderr


def test_a_gateway_that_is_down_is_down_outside(paths: Paths) -> None:
    """The connection is ended at once rather than left hanging."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    script = (
        "import socket\n"
        f"c = socket.create_connection(('127.0.0.1', {port}), 5)\n"
        "try:\n"
        "    print(len(c.recv(1)))\n"
        "except ConnectionResetError:\n"
        "    print(0)"
    )
    done = positions.run_at(paths, _with("gateway", port=port), OUTSIDE, ["-c", script])
    assert done.stdout.strip() == b"0", done.stderr


def test_what_takes_too_long_is_ended(paths: Paths, mesh: Mesh) -> None:
    """The program is killed, and its directory is gone."""
    script = "import os, time; print(os.getpid(), os.getcwd(), flush=True); time.sleep(60)"
    with pytest.raises(subprocess.TimeoutExpired) as raised:
        positions.run_at(paths, mesh, INSIDE, ["-c", script], timeout_seconds=1)
    assert raised.value.stdout
    pid, directory = raised.value.stdout.decode().split()
    assert not Path(directory).exists()
    assert identify(int(pid)) is None


def test_a_perimeter_leaves_nothing_behind(paths: Paths, mesh: Mesh) -> None:
    """Neither a process of the forwarder's nor a program outside, whatever ended the block."""
    before = _children(os.getpid())
    started: list[ProcessId] = []

    def interrupted() -> None:
        sleep = ["-c", "import time; time.sleep(60)"]
        with (
            positions.perimeter(mesh, paths) as standing,
            positions.started_at(paths, mesh, OUTSIDE, sleep, perimeter=standing),
        ):
            started.extend(_children_since(before))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(started) == 2
    assert not any(process.is_alive() for process in started)


def test_a_killed_parent_leaves_no_perimeter(paths: Paths, mesh: Mesh) -> None:
    """The forwarder and the programs at positions end with the process that started them, and
    the next run removes the one thing that who is killed leaves: an empty directory.
    """
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from paymesh.attack import positions\n"
        "from paymesh.mesh import load_mesh\n"
        "from paymesh.paths import Paths\n"
        "paths, mesh = Paths(Path(sys.argv[1]), Path(sys.argv[2])), load_mesh()\n"
        "look = 'import os, time; print(os.getcwd(), flush=True); time.sleep(60)'\n"
        "with positions.perimeter(mesh) as p, positions.started_at(\n"
        "    paths, mesh, 'outside', ['-c', look], perimeter=p\n"
        ") as started:\n"
        "    print(started.stdout.readline().decode(), end='', flush=True); time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", script, str(paths.home), str(paths.cache)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        directory = Path(parent.stdout.readline().decode().strip())
        started = _children(parent.pid)
        parent.kill()
    assert len(started) == 2
    _until(lambda: not any(process.is_alive() for process in started))
    assert directory.is_dir()
    assert positions.run_at(paths, mesh, INSIDE, ["-c", ""]).returncode == 0
    assert not directory.exists()


def test_the_forwarder_has_no_privileges(mesh: Mesh, paths: Paths) -> None:
    """It was root to make the namespaces, and is nobody with nothing when it listens."""
    before = _children(os.getpid())
    with positions.perimeter(mesh, paths):
        (forwarder,) = _children_since(before)
        text = Path(f"/proc/{forwarder.pid}/status").read_text()
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    uid = str(stranger_uid(mesh, FORWARDER))
    assert status["Uid"].split() == status["Gid"].split() == [uid] * 4
    assert status["Groups"].split() == []
    assert {int(status[name], 16) for name in status if name.startswith("Cap")} == {0}
    assert status["NoNewPrivs"] == "1"


def test_an_unknown_position_is_said(paths: Paths, mesh: Mesh) -> None:
    """One that is none, and a workload's of a mesh that was never up."""
    with pytest.raises(ConfigError, match="there is no position 'elsewhere'"):
        positions.run_at(paths, mesh, "elsewhere", ["-c", ""])
    nowhere = Paths(paths.home / "none", paths.cache)
    with pytest.raises(ConfigError, match="run `paymesh up` first"):
        positions.run_at(nowhere, mesh, "ledger", ["-c", ""])


def test_a_strangers_uid_is_nobodys(mesh: Mesh) -> None:
    """It is refused once a workload has been given it."""
    uids = {stranger_uid(mesh, name) for name in (*_STRANGERS, FORWARDER)}
    assert len(uids) == 4
    assert uids.isdisjoint({mesh.uid(name) for name in (*mesh.workloads, *mesh.platform)})
    with pytest.raises(ConfigError, match="ledger has uid_offset 96"):
        stranger_uid(_with("ledger", uid_offset=96), INSIDE)


def _with(workload: str, **changed: Any) -> Mesh:
    """The committed mesh with something else about one workload."""
    mesh = load_mesh(port_offset=0)
    workloads = {**mesh.workloads, workload: replace(mesh.workloads[workload], **changed)}
    return replace(mesh, workloads=workloads)


def _echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while chunk := connection.recv(1 << 16):
            connection.sendall(chunk)


def _children(parent: int) -> list[ProcessId]:
    tasks = Path(f"/proc/{parent}/task").iterdir()
    pids = [pid for task in tasks for pid in (task / "children").read_text().split()]
    return [found for pid in pids if (found := identify(int(pid))) is not None]


def _children_since(before: list[ProcessId]) -> list[ProcessId]:
    """Other tests of this process may have left children of their own running."""
    return [child for child in _children(os.getpid()) if child not in before]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
