"""Whatever the mesh listens on is found in /proc, and nothing else."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
from pathlib import Path

import pytest
from fake_proc import FakeProc

from paymesh.attack.inventory import Inventory
from paymesh.attack.inventory.procfs import Procfs
from paymesh.attack.inventory.search import Found, Listening, search
from paymesh.mesh import Mesh, load_mesh
from paymesh.paths import Paths
from paymesh.runtime import lifecycle
from paymesh.runtime.identity import ProcessId
from paymesh.runtime.status import MeshStatus, ProcessStatus

_LOOPBACK = bytes([127, 0, 0, 1])
_SUPERVISOR = ("python", "-m", "paymesh.runtime.supervisor")


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """As committed."""
    return load_mesh(port_offset=0)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A home with one directory."""
    (tmp_path / "home" / "run" / "ledger").mkdir(parents=True)
    return Paths(tmp_path / "home", tmp_path / "cache")


@pytest.fixture
def proc(tmp_path: Path, mesh: Mesh, paths: Paths) -> FakeProc:
    """A supervisor (10) with ledger's Envoy (20), which listens at its port, and a login
    shell (5) beside it.
    """
    made = FakeProc(tmp_path / "proc")
    made.process(5, name="sshd", sockets=(900,))
    made.internet("tcp", _LOOPBACK, 22, 900)
    made.process(10, argv=_SUPERVISOR)
    uid = mesh.uid("ledger")
    made.process(
        20, parent=10, uid=uid, name="envoy", sockets=(100, 101), cwd=paths.workload("ledger")
    )
    made.internet("tcp", _LOOPBACK, 18502, 100, uid=uid)
    made.unix("admin.sock", 101)
    return made


def _status() -> MeshStatus:
    def process(pid: int) -> ProcessId:
        return ProcessId(pid, 1, "boot")

    return MeshStatus(
        state="ready",
        supervisor=process(10),
        separate_uids=True,
        started_at=0.0,
        processes=[ProcessStatus("ledger-envoy", "ready", process(20))],
    )


def _search(proc: FakeProc, paths: Paths, mesh: Mesh, status: MeshStatus | None = None) -> Found:
    proc.write()
    return search(paths, mesh, status or _status(), Procfs(proc.root))


def _more(found: Found) -> list[tuple[str, str, str | None, str]]:
    """Everything beyond what `proc` begins with."""
    return [
        (one.kind, one.address, one.process, one.holder)
        for one in found.listening
        if one.inode not in {100, 101}
    ]


def test_the_meshs_own_sockets_are_found_by_process(
    proc: FakeProc, paths: Paths, mesh: Mesh
) -> None:
    """A port and a socket bound by a relative path, and nobody else's port."""
    assert _search(proc, paths, mesh).listening == (
        Listening("tcp", "127.0.0.1:18502", "ledger-envoy", "held by ledger-envoy", 100),
        Listening(
            "unix",
            str(paths.workload("ledger") / "admin.sock"),
            "ledger-envoy",
            "held by ledger-envoy",
            101,
        ),
    )


@pytest.mark.parametrize(
    ("table", "state", "address", "shown"),
    [
        ("tcp", "0A", bytes(4), "tcp 0.0.0.0:5000"),
        ("tcp6", "0A", bytes(16), "tcp [::]:5000"),
        ("tcp6", "0A", bytes(15) + b"\1", "tcp [::1]:5000"),
        ("udp", "07", _LOOPBACK, "udp 127.0.0.1:5000"),
        ("udp6", "07", bytes(16), "udp [::]:5000"),
        ("udplite", "07", _LOOPBACK, "udplite 127.0.0.1:5000"),
        ("raw", "07", bytes(4), "raw 0.0.0.0:5000"),
    ],
)
def test_every_family_is_read(
    proc: FakeProc, paths: Paths, mesh: Mesh, *, table: str, state: str, address: bytes, shown: str
) -> None:
    """TCP, UDP, UDP-Lite and raw sockets of both versions of IP, by a stray process."""
    proc.process(30, uid=mesh.uid("payments"), name="nc", sockets=(200,))
    proc.internet(table, address, 5000, 200, uid=mesh.uid("payments"), state=state)
    (found,) = (one for one in _search(proc, paths, mesh).listening if one.inode == 200)
    assert str(found) == f"{shown}, held by nc (pid 30) under payments's uid"
    assert found.process is None


@pytest.mark.parametrize(("table", "state"), [("tcp", "01"), ("udp", "01"), ("tcp", "06")])
def test_connections_listen_to_nobody(
    proc: FakeProc, paths: Paths, mesh: Mesh, table: str, state: str
) -> None:
    """What is connected, or was, takes nothing from others."""
    proc.process(30, uid=mesh.uid("payments"), sockets=(200,))
    proc.internet(table, _LOOPBACK, 5000, 200, uid=mesh.uid("payments"), state=state)
    assert _more(_search(proc, paths, mesh)) == []


@pytest.mark.parametrize(
    ("path", "flags", "kind", "found"),
    [
        ("@hidden", "00010000", "0001", ("abstract", "hidden")),
        ("@hidden", "00000000", "0002", ("abstract", "hidden")),
        ("/tmp/a b.sock", "00010000", "0001", ("unix", "/tmp/a b.sock")),
        ("/tmp/a.sock", "00010000", "0005", ("unix", "/tmp/a.sock")),
        ("/tmp/a.sock", "00000000", "0002", ("unix", "/tmp/a.sock")),
        ("/tmp/a.sock", "00000000", "0001", None),
    ],
)
def test_unix_sockets_of_every_kind_are_read(
    proc: FakeProc,
    paths: Paths,
    mesh: Mesh,
    *,
    path: str,
    flags: str,
    kind: str,
    found: tuple[str, str] | None,
) -> None:
    """Streams and packets that accept, and bound datagrams; a connection is none."""
    proc.process(30, uid=mesh.uid("payments"), name="nc", sockets=(200,))
    proc.unix(path, 200, flags=flags, kind=kind)
    held = "held by nc (pid 30) under payments's uid"
    expected = [] if found is None else [(*found, None, held)]
    assert _more(_search(proc, paths, mesh)) == expected


def test_a_child_is_its_parents(proc: FakeProc, paths: Paths, mesh: Mesh) -> None:
    """What a process of the mesh starts listens in its name; it is shown with its pid."""
    proc.process(21, parent=20, uid=mesh.uid("ledger"), name="sh", sockets=(200,))
    proc.internet("tcp", _LOOPBACK, 5000, 200, uid=mesh.uid("ledger"))
    assert _more(_search(proc, paths, mesh)) == [
        ("tcp", "127.0.0.1:5000", "ledger-envoy", "held by sh (pid 21) under ledger's uid")
    ]


def test_the_supervisors_other_children_are_the_supervisors(
    proc: FakeProc, paths: Paths, mesh: Mesh
) -> None:
    """Root's as well, whatever uid they have."""
    proc.process(40, parent=10, name="psql", sockets=(200,))
    proc.internet("tcp", _LOOPBACK, 5000, 200)
    assert _more(_search(proc, paths, mesh)) == [
        ("tcp", "127.0.0.1:5000", "supervisor", "held by psql (pid 40) under uid 0")
    ]


def test_another_mesh_of_the_machine_is_left_alone(
    proc: FakeProc, paths: Paths, mesh: Mesh
) -> None:
    """Its uids are the same; it stands below a supervisor of its own, which is root's, or
    works in that one's home.
    """
    other = paths.home.parent / "other"
    (other / "run").mkdir(parents=True)
    proc.process(11, argv=_SUPERVISOR, environ=f"A=b\0PAYMESH_HOME={other}\0")
    uid = mesh.uid("ledger")
    proc.process(50, parent=11, uid=uid, name="envoy", sockets=(200,))
    proc.process(51, uid=uid, name="python", sockets=(201,), cwd=other / "run")
    for inode in (200, 201):
        proc.internet("tcp", _LOOPBACK, 19302 + inode, inode, uid=uid)
    assert _more(_search(proc, paths, mesh)) == []


def test_nobody_hides_below_a_supervisor_of_his_own(
    proc: FakeProc, paths: Paths, mesh: Mesh
) -> None:
    """A process that looks like a supervisor and is not root's is none."""
    uid = mesh.uid("ledger")
    proc.process(11, argv=_SUPERVISOR, uid=uid)
    proc.process(50, parent=11, uid=uid, name="nc", sockets=(200,))
    proc.internet("tcp", _LOOPBACK, 5000, 200, uid=uid)
    assert [address for _, address, _, _ in _more(_search(proc, paths, mesh))] == ["127.0.0.1:5000"]


def test_nobody_hides_in_a_home_that_no_supervisor_has(
    proc: FakeProc, paths: Paths, mesh: Mesh
) -> None:
    """A directory that looks like one, of a supervisor that is not root's."""
    uid = mesh.uid("ledger")
    proc.process(11, argv=_SUPERVISOR, uid=uid, environ="PAYMESH_HOME=/tmp/h\0")
    proc.process(50, uid=uid, name="nc", sockets=(200,), cwd=Path("/tmp/h"))
    proc.internet("tcp", _LOOPBACK, 5000, 200, uid=uid)
    assert [address for _, address, _, _ in _more(_search(proc, paths, mesh))] == ["127.0.0.1:5000"]


@pytest.mark.parametrize(("users", "found"), [("user:[1]", []), ("user:[2]", ["127.0.0.1:5000"])])
def test_what_root_put_into_a_container_is_another_systems(
    proc: FakeProc, paths: Paths, mesh: Mesh, users: str, found: list[str]
) -> None:
    """A pod of the same uid is left alone; pids of one's own need no rights together with users
    of one's own, and hide nobody.
    """
    uid = mesh.uid("ledger")
    proc.process(50, uid=uid, name="envoy", sockets=(200,), pids="pid:[2]", users=users)
    proc.internet("tcp", _LOOPBACK, 5000, 200, uid=1000)
    assert [address for _, address, _, _ in _more(_search(proc, paths, mesh))] == found


def test_a_platform_process_that_is_nobodys_child_is_known_by_its_uid(
    proc: FakeProc, paths: Paths, mesh: Mesh
) -> None:
    """When the supervisor runs none of its name; a workload's uid is no such name."""
    relay = dataclasses.replace(mesh, platform={**mesh.platform, "relay": 94})
    proc.process(30, uid=relay.uid("relay"), name="python", sockets=(200,))
    proc.internet("tcp", _LOOPBACK, 5000, 200)
    assert [
        (address, process) for _, address, process, _ in _more(_search(proc, paths, relay))
    ] == [("127.0.0.1:5000", "relay")]


def test_another_network_is_said(proc: FakeProc, paths: Paths, mesh: Mesh) -> None:
    """A declared port in a namespace of one's own is not the declared port."""
    proc.process(
        21, parent=20, uid=mesh.uid("ledger"), name="sh", sockets=(200,), network="net:[2]"
    )
    proc.internet("tcp", _LOOPBACK, 18502, 200, network="net:[2]")
    ((_, address, _, _),) = _more(_search(proc, paths, mesh))
    assert address == "127.0.0.1:18502 in a network of its own"


def test_a_socket_that_was_given_away_is_found(proc: FakeProc, paths: Paths, mesh: Mesh) -> None:
    """Opened under one of the mesh's uids, and held by nobody, or by a process of another uid."""
    for inode, port in ((200, 5000), (201, 5001)):
        proc.internet("tcp", _LOOPBACK, port, inode, uid=mesh.uid("ledger"))
    proc.process(60, uid=1000, name="bash", sockets=(201,))
    assert _more(_search(proc, paths, mesh)) == [
        (
            "tcp",
            "127.0.0.1:5000",
            None,
            "held by no process that was seen, opened under ledger's uid",
        ),
        ("tcp", "127.0.0.1:5001", None, "held by bash (pid 60) under uid 1000"),
    ]


def test_a_strangers_socket_in_the_home_is_found(proc: FakeProc, paths: Paths, mesh: Mesh) -> None:
    """Whoever listens in one of the mesh's directories."""
    path = f"{paths.workload('ledger')}/app.sock"
    proc.process(60, uid=1000, name="bash", sockets=(200,))
    proc.unix(path, 200)
    assert _more(_search(proc, paths, mesh)) == [
        ("unix", path, None, "held by bash (pid 60) under uid 1000")
    ]


def test_a_socket_that_nobody_holds_is_found(proc: FakeProc, paths: Paths, mesh: Mesh) -> None:
    """A file in the home's directories; files, links and directories are none."""
    path = paths.workload("ledger") / "left.sock"
    here = Path.cwd()
    os.chdir(path.parent)  # the whole path is longer than an address may be
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)
    (path.parent / "file").touch()
    (path.parent / "link").symlink_to("left.sock")
    assert _more(_search(proc, paths, mesh)) == [
        ("unix", str(path), None, "held by no process that was seen")
    ]


def test_a_line_break_in_a_path_hides_nothing(proc: FakeProc, paths: Paths, mesh: Mesh) -> None:
    """Whoever puts one into a name is shown with what is before it, unharmed."""
    proc.process(30, uid=mesh.uid("payments"), name="nc\x1b[2J", sockets=(200, 201))
    proc.unix("/tmp/a\nrest of it", 200)
    proc.unix("@b", 201)
    found = [str(one) for one in _search(proc, paths, mesh).listening if one.inode in {200, 201}]
    assert found == [
        "unix /tmp/a, held by nc\\x1b[2J (pid 30) under payments's uid",
        "abstract b, held by nc\\x1b[2J (pid 30) under payments's uid",
    ]


def test_a_mesh_that_is_down_has_strays(proc: FakeProc, paths: Paths, mesh: Mesh) -> None:
    """Without a supervisor whoever runs under the mesh's uids is looked at all the same."""
    proc.process(30, uid=mesh.uid("payments"), name="nc", sockets=(200,))
    proc.internet("tcp", _LOOPBACK, 5000, 200, uid=mesh.uid("payments"))
    proc.write()
    down = MeshStatus(state="down", supervisor=None, separate_uids=True, started_at=0.0)
    found = search(paths, mesh, down, Procfs(proc.root))
    assert [(one.address, one.process) for one in found.listening] == [("127.0.0.1:5000", None)]


def test_what_cannot_be_looked_at_is_said(
    proc: FakeProc, paths: Paths, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each process, and the search goes on."""
    held = Procfs.held

    def refused(self: Procfs, task: str | int) -> set[int]:
        if str(task).startswith("20"):
            raise PermissionError
        return held(self, task)

    monkeypatch.setattr(Procfs, "held", refused)
    proc.process(21, parent=20, uid=mesh.uid("ledger"), name="sh", sockets=(200,))
    proc.internet("tcp", _LOOPBACK, 5000, 200, uid=mesh.uid("ledger"))
    found = _search(proc, paths, mesh)
    assert found.unseen == (
        "what envoy (pid 20) under ledger's uid has open cannot be seen: run as root",
    )
    assert "127.0.0.1:5000" in [one.address for one in found.listening]


def test_declared_and_undeclared_are_told_apart(
    proc: FakeProc, paths: Paths, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address and the process have to be those of the inventory."""
    uid = mesh.uid("ledger")
    proc.process(21, uid=uid, name="nc", sockets=(200, 201))
    proc.internet("tcp", _LOOPBACK, 18502, 200, uid=uid)
    proc.internet("tcp", _LOOPBACK, 18512, 201, uid=uid)
    proc.write()
    monkeypatch.setattr(lifecycle, "running", lambda _: _status())
    inventory = Inventory(Inventory.load(_root(), mesh).declared, mesh, Procfs(proc.root))
    assert [str(one) for one in inventory.undeclared(paths)] == [
        "tcp 127.0.0.1:18502, held by nc (pid 21) under ledger's uid",
        "tcp 127.0.0.1:18512, held by nc (pid 21) under ledger's uid",
    ]
    missing = {(one.process, one.address) for one in inventory.missing(paths)}
    assert ("ledger-pdp", "127.0.0.1:18512") in missing
    assert ("ledger-envoy", "127.0.0.1:18502") not in missing
    assert ("ledger-envoy", "run/ledger/admin.sock") not in missing


def test_the_real_proc_is_read() -> None:
    """Who asks finds its own listeners under its pid, with the addresses that they have."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract,
    ):
        udp.bind(("::1", 0))
        abstract.bind(f"\0paymesh-test-{os.getpid()}")
        procfs = Procfs()
        held = procfs.held(os.getpid())
        found = {
            (one.kind, one.address) for one in procfs.listening(os.getpid()) if one.inode in held
        }
        expected = {
            ("tcp", f"127.0.0.1:{tcp.getsockname()[1]}"),
            ("udp", f"[::1]:{udp.getsockname()[1]}"),
            ("abstract", f"paymesh-test-{os.getpid()}"),
        }
    assert expected <= found
    own = procfs.processes()[os.getpid()]
    assert own.parent == os.getppid()
    assert os.geteuid() in own.uids
    assert procfs.arguments(os.getpid()) == [*sys.orig_argv, ""]


def _root() -> Path:
    return Path(__file__).resolve().parents[3]
