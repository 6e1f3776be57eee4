"""What stands on disk is compared with the declaration: owners, groups, modes, and what is open."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paymesh.attack.inventory import Listener, Place
from paymesh.attack.inventory.declared import DATABASE_CLIENTS, Declared
from paymesh.attack.inventory.owners import differences
from paymesh.mesh import Mesh, load_mesh
from paymesh.paths import Paths

_SOCKET = Listener(
    "ledger-app", "unix", "run/app.sock", "ledger", "ledger", 0o600, (), (), "x", "x"
)
_DECLARED = Declared(
    (_SOCKET,),
    (
        Place(".", "root", "root", 0o755, (), "x"),
        Place("run", "root", "root", 0o755, (), "x"),
        Place("secret", "root", "root", 0o700, (), "x"),
    ),
    (
        Place("run/dsn", "ledger", "ledger", 0o400, ("database:ledger",), "x"),
        Place("run/open", "root", DATABASE_CLIENTS, 0o640, (), "x"),
        Place("secret/*.key", "root", "root", 0o600, ("x",), "x"),
    ),
)


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """As committed."""
    return load_mesh(port_offset=0)


@pytest.fixture
def home(mesh: Mesh) -> Iterator[Path]:
    """As declared; where it is not root's, everything belongs to who runs the test."""
    made = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))
    for name, mode in ((".", 0o755), ("run", 0o755), ("secret", 0o700)):
        (made / name).mkdir(exist_ok=True)
        (made / name).chmod(mode)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made / _SOCKET.address))
    (made / _SOCKET.address).chmod(0o600)
    for name, mode in (("run/dsn", 0o400), ("run/open", 0o640), ("secret/a.key", 0o600)):
        (made / name).write_text("x")
        (made / name).chmod(mode)
    if os.geteuid() == 0:
        uid = mesh.uid("ledger")
        for name in (_SOCKET.address, "run/dsn"):
            os.chown(made / name, uid, uid)
        os.chown(made / "run/open", 0, mesh.database_gid)
    yield made
    shutil.rmtree(made)


Differences = Callable[[], list[str]]


@pytest.fixture
def found(home: Path, mesh: Mesh) -> Differences:
    """What is wrong, below the home."""

    def now() -> list[str]:
        paths = Paths(home, home / "cache")
        return [str(one).removeprefix(f"{home}/") for one in differences(_DECLARED, paths, mesh)]

    return now


def test_what_is_as_declared_is_not_named(found: Differences) -> None:
    """Nothing is wrong."""
    assert found() == []


@pytest.mark.parametrize(
    ("path", "mode", "said"),
    [
        ("run/app.sock", 0o666, "run/app.sock has mode 0666, declared 0600"),
        ("run", 0o777, "run has mode 0777, declared 0755"),
        ("run/dsn", 0o444, "run/dsn has mode 0444, declared 0400"),
        ("secret/a.key", 0o640, "secret/a.key has mode 0640, declared 0600"),
        ("secret", 0o711, "secret has mode 0711, declared 0700"),
    ],
)
def test_a_mode_that_is_more_open_is_named(
    home: Path, found: Differences, path: str, mode: int, said: str
) -> None:
    """Of a socket, a directory, a file, and a file by a pattern."""
    (home / path).chmod(mode)
    assert said in found()


def test_what_is_gone_or_something_else_is_named(home: Path, found: Differences) -> None:
    """A file that is not there, and a link in a file's place; a socket may be down."""
    (home / "run/app.sock").unlink()
    (home / "secret/a.key").unlink()
    (home / "run/dsn").unlink()
    (home / "run/dsn").symlink_to("open")
    assert found() == ["run/dsn is no file", "secret/*.key is not there"]


def test_a_file_in_a_sockets_place_is_named(home: Path, found: Differences) -> None:
    """Whoever connects there would find nobody, or somebody else."""
    (home / "run/app.sock").unlink()
    (home / "run/app.sock").touch(0o600)
    assert "run/app.sock is no socket" in found()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere and is compared exactly")
def test_without_root_a_mode_may_be_narrower(home: Path, found: Differences) -> None:
    """Everything has one owner there, and directories need not be open to others."""
    for path in (home, home / "run"):
        path.chmod(0o700)
    assert found() == []


_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.mark.root
@_root
@pytest.mark.parametrize("path", ["run/app.sock", "run/dsn", "secret/a.key", "secret", "run"])
def test_another_owner_is_named(home: Path, found: Differences, mesh: Mesh, path: str) -> None:
    """By the uid that it has and the name that it should have, and its group too."""
    uid = mesh.uid("payments")
    os.chown(home / path, uid, uid)
    said = [line for line in found() if line.startswith(f"{path} belongs to")]
    assert len(said) == 2
    assert f"belongs to uid {uid}, declared " in said[0]
    assert f"belongs to group {uid}, declared " in said[1]


@pytest.mark.root
@_root
@pytest.mark.parametrize("mode", [0o644, 0o602])
def test_a_file_open_to_others_has_to_be_declared(
    home: Path, found: Differences, mode: int
) -> None:
    """Anything that others can read or write in a directory that they may enter."""
    (home / "run" / "notes").touch(mode)
    (home / "run" / "notes").chmod(mode)
    assert found() == ["run/notes is open to others and not declared"]


@pytest.mark.root
@_root
def test_a_directory_open_to_others_has_to_be_declared(home: Path, found: Differences) -> None:
    """And what is in it; what is in one that is closed is nobody's business."""
    (home / "run" / "tmp").mkdir()
    (home / "run" / "tmp").chmod(0o755)
    (home / "run" / "tmp" / "a").touch(0o644)
    (home / "secret" / "b").touch(0o644)
    (home / "secret" / "b").chmod(0o644)
    assert sorted(found()) == [
        "run/tmp is open to others and not declared",
        "run/tmp/a is open to others and not declared",
    ]


@pytest.mark.root
@_root
def test_what_a_shared_group_can_read_has_to_be_declared(
    home: Path, found: Differences, mesh: Mesh
) -> None:
    """A group with one member is that member; the databases' clients are several."""
    for name, gid in (("shared", mesh.database_gid), ("own", mesh.uid("ledger"))):
        (home / "run" / name).touch(0o640)
        (home / "run" / name).chmod(0o640)
        os.chown(home / "run" / name, 0, gid)
    assert found() == ["run/shared is open to others and not declared"]
