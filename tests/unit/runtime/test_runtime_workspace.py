"""The home: every directory and file with its mode, repaired after a killed run."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from paymesh import render
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh, load_mesh
from paymesh.paths import Paths, default_paths
from paymesh.runtime.accounts import Accounts
from paymesh.runtime.workspace import Workspace, dsn

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def paths() -> Iterator[Paths]:
    """A home that other uids may enter, with a name short enough for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))
    directory.chmod(0o755)
    yield Paths(home=directory / "home", cache=directory / "cache")
    shutil.rmtree(directory)


@pytest.fixture
def workspace(paths: Paths, mesh: Mesh) -> Workspace:
    """Prepared once."""
    made = Workspace(paths, mesh, Accounts(mesh, separate=IS_ROOT))
    made.prepare()
    return made


def modes(directory: Path) -> dict[str, str]:
    """Every path below `directory` with its mode, uid and gid."""
    found = {}
    for path in sorted(directory.rglob("*")):
        s = path.lstat()
        name = path.relative_to(directory).as_posix()
        found[name] = f"{stat.S_IMODE(s.st_mode):o} {s.st_uid}:{s.st_gid}"
    return found


def test_secrets_are_for_their_owner_only(workspace: Workspace) -> None:
    """Nothing with a key, token, password or DSN in it is readable by a group or by all."""
    secret = re.compile(r"(\.key|key\.pem|token|tokens|dsn|keys\.json)$|^secrets/")
    public = re.compile(r"bundle-key\.pem$")
    found = modes(workspace.paths.home)
    checked = [name for name in found if secret.search(name) and not public.search(name)]
    assert len(checked) > 20
    for name in checked:
        path = workspace.paths.home / name
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_file() and not name.endswith((".crt", ".pem")):
            assert mode in {0o400, 0o600}, name


def test_a_second_start_changes_nothing(workspace: Workspace) -> None:
    """Contents, modes, owners and times stay."""
    before = {p: p.lstat().st_mtime_ns for p in workspace.paths.home.rglob("*") if p.is_file()}
    layout = modes(workspace.paths.home)
    Workspace(workspace.paths, workspace.mesh, workspace.accounts).prepare()
    assert modes(workspace.paths.home) == layout
    assert {p: p.lstat().st_mtime_ns for p in before} == before


def test_a_stale_home_is_repaired(workspace: Workspace) -> None:
    """Left-over sockets go; wrong modes, missing files and planted links are put right."""
    layout = modes(workspace.paths.home)
    ledger = workspace.paths.workload("ledger")
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(ledger / "app.sock"))
    ledger.chmod(0o777)
    (ledger / "dsn").unlink()
    (ledger / "dsn").symlink_to("/etc/passwd")
    (ledger / "pdp-token").unlink()
    shutil.rmtree(workspace.paths.workload("bank-link"))
    workspace.prepare()
    assert modes(workspace.paths.home) == layout
    assert not (ledger / "dsn").is_symlink()


@pytest.mark.root
@pytest.mark.skipif(not IS_ROOT, reason="only root gives each workload a uid")
def test_each_workload_owns_its_directory_alone(workspace: Workspace) -> None:
    """Mode 0700 with everything in it; the shared sockets' directories are for their groups."""
    mesh, run = workspace.mesh, workspace.paths.run
    uids = set()
    for name in mesh.workloads:
        directory = run / name
        uids.add(directory.stat().st_uid)
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        for path in directory.rglob("*"):
            assert (path.stat().st_uid, path.stat().st_gid) == (mesh.uid(name), mesh.uid(name))
    assert len(uids) == len(mesh.workloads)
    agent, database = (run / "spire-agent").stat(), (run / "postgres").stat()
    assert (agent.st_uid, agent.st_gid) == (mesh.uid("spire-agent"), mesh.agent_gid)
    assert stat.S_IMODE(agent.st_mode) == 0o750
    assert database.st_gid == mesh.database_gid
    assert stat.S_IMODE(database.st_mode) == 0o2750
    bundles = workspace.paths.bundles.stat()
    assert (bundles.st_uid, bundles.st_gid) == (0, mesh.uid("bundle-server"))
    assert stat.S_IMODE(bundles.st_mode) == 0o750


@pytest.mark.root
@pytest.mark.skipif(not IS_ROOT, reason="only root gives each workload a uid")
def test_a_home_that_nobody_may_enter_is_refused(mesh: Mesh, paths: Paths) -> None:
    """One sentence that names the variable."""
    paths.home.parent.chmod(0o700)
    with pytest.raises(ConfigError, match="PAYMESH_HOME"):
        Workspace(paths, mesh, Accounts(mesh, separate=True)).prepare()


def test_groups_open_only_what_is_needed(mesh: Mesh) -> None:
    """The agent's socket for workloads; the database's for those that have a database."""
    accounts = Accounts(mesh, separate=True)
    for name, workload in mesh.workloads.items():
        account = accounts.of(name)
        assert account is not None
        assert (mesh.database_gid in account.groups) == (workload.database is not None)
        assert mesh.agent_gid in account.groups
    simulators = accounts.of("simulators")
    assert simulators is not None
    assert simulators.groups == ()
    numbers = [mesh.uid(name) for name in (*mesh.workloads, *mesh.platform)]
    assert len(numbers) == len(set(numbers))
    assert not {mesh.agent_gid, mesh.database_gid} & set(numbers)


def test_envoy_runs_the_committed_file(workspace: Workspace) -> None:
    """Byte for byte, as long as no port is moved."""
    root = Path(__file__).resolve().parents[3]
    for workload in workspace.mesh.sidecars():
        committed = (root / "envoy" / f"{workload.name}.yaml").read_bytes()
        assert (workspace.paths.workload(workload.name) / "envoy.yaml").read_bytes() == committed


def test_an_offset_moves_ports_and_nothing_else(paths: Paths) -> None:
    """The document that the renderer's own readdressing makes."""
    mesh = load_mesh(port_offset=100)
    Workspace(paths, mesh, Accounts(mesh, separate=IS_ROOT)).prepare()
    root = Path(__file__).resolve().parents[3]
    for workload in mesh.sidecars():
        text = (paths.workload(workload.name) / "envoy.yaml").read_bytes()
        committed = yaml.safe_load((root / "envoy" / f"{workload.name}.yaml").read_bytes())
        assert yaml.safe_load(text) == render.readdress(committed, mesh) != committed


@pytest.mark.parametrize("home", ["relative", "/x/\udcff", "/" + "x" * 100])
def test_a_home_that_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """A relative path, one that is no UTF-8 and one too long for a socket are a sentence."""
    monkeypatch.setenv("PAYMESH_HOME", home)
    with pytest.raises(ConfigError, match="PAYMESH_HOME"):
        default_paths()


# Surrogates stand for bytes that are no UTF-8: `default_paths` refuses such a home.
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_home_fits_into_a_connection_string(name: str) -> None:
    """Spaces, quotes and backslashes in a path reach libpq as they are."""
    home = Path("/x") / name.replace("/", "_")
    made = dsn(Paths(home=home, cache=home), "ledger", "ledger", "a-b_c")
    assert conninfo_to_dict(made) == {
        "host": str(home / "run" / "postgres"),
        "dbname": "ledger",
        "user": "ledger",
        "password": "a-b_c",
    }
