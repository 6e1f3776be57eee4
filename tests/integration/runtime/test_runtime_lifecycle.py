"""Up, down, and up again after anything was killed: real PostgreSQL, real SPIRE."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from runtime_small_mesh import PROGRAM, SmallMesh

from paymesh.errors import ConfigError, StartError
from paymesh.paths import Paths
from paymesh.runtime import control, exec_as, identity, lifecycle, logs, workspace
from paymesh.runtime.identity import ProcessId

_ALL = {"postgres", "spire-server", "spire-agent"}

_FETCH = """
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    print(client.fetch_x509_svid().spiffe_id)
"""


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def query(paths: Paths, database: str, role: str, text: str, password: str | None = None) -> object:
    """The first value of the first row, as the role."""
    if password is None:
        password = (paths.secrets / f"postgres-{role}").read_text("ascii").strip()
    conninfo = workspace.dsn(paths, database, role, password)
    with psycopg.connect(conninfo, connect_timeout=5) as connection:
        row = connection.execute(text.encode()).fetchone()
        return row[0] if row else None


def identity_of(mesh: SmallMesh, workload: str) -> str:
    """What the agent says to a process of the workload."""
    agent = mesh.paths.workload("spire-agent") / "api.sock"
    done = exec_as(
        mesh.paths,
        mesh.mesh,
        workload,
        ["-c", _FETCH],
        env={"SPIFFE_ENDPOINT_SOCKET": f"unix://{agent}"},
        timeout_seconds=40,
    )
    assert done.returncode == 0, (
        done.stderr[-300:],
        mesh.status(),
        logs.tail(mesh.paths.log("spire-agent"), 10),
    )
    return done.stdout.strip()


def test_up_brings_identities_and_databases(small_mesh: SmallMesh) -> None:
    """Everything is ready when `up` returns; a second `up` changes nothing."""
    found = small_mesh.up()
    assert {process.name: process.state for process in found.processes} == dict.fromkeys(
        _ALL, "ready"
    )
    before = small_mesh.pids()
    small_mesh.up()
    assert small_mesh.pids() == before
    assert query(small_mesh.paths, "ledger", "ledger", "SELECT current_user") == "ledger"
    assert identity_of(small_mesh, "ledger") == small_mesh.mesh.spiffe_id("ledger")
    assert identity_of(small_mesh, "payments") == small_mesh.mesh.spiffe_id("payments")


@pytest.mark.parametrize(
    ("database", "role"),
    [
        ("payments", "ledger"),
        ("postgres", "ledger"),
        ("spire", "ledger_owner"),
        ("ledger", "spire"),
        ("ledger", "postgres"),
        ("template1", "payments"),
    ],
)
def test_a_role_enters_no_database_but_its_own(
    small_mesh: SmallMesh, database: str, role: str
) -> None:
    """By the server's rules, whatever the password."""
    small_mesh.up()
    password = "x" if role == "postgres" else None
    with pytest.raises(psycopg.OperationalError, match=r"rejects|failed"):
        query(small_mesh.paths, database, role, "SELECT 1", password)


def test_a_wrong_password_is_refused(small_mesh: SmallMesh) -> None:
    """The socket alone opens nothing."""
    small_mesh.up()
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        query(small_mesh.paths, "ledger", "ledger", "SELECT 1", "wrong")


def test_a_service_role_changes_no_schema(small_mesh: SmallMesh) -> None:
    """Only the owner's role may, and it runs migrations alone."""
    small_mesh.up()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        query(small_mesh.paths, "ledger", "ledger", "CREATE TABLE mine (x int)")


@pytest.mark.parametrize("name", sorted(_ALL))
def test_a_killed_process_comes_back(small_mesh: SmallMesh, name: str) -> None:
    """Under the same identity, with its data, and `status` says that it died."""
    small_mesh.up()
    before = small_mesh.status().process(name)
    assert before is not None
    control.kill(small_mesh.paths, name)
    until(lambda: small_mesh.pids()[name] not in {None, before.pid})
    small_mesh.up()
    after = small_mesh.status().process(name)
    assert after is not None
    assert (after.restarts, after.last_exit) == (before.restarts + 1, "killed by SIGKILL")
    until(lambda: _answers(lambda: query(small_mesh.paths, "ledger", "ledger", "SELECT 1")))
    assert identity_of(small_mesh, "ledger") == small_mesh.mesh.spiffe_id("ledger")


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except psycopg.OperationalError:
        return False
    return True


def test_a_killed_supervisor_takes_its_children_along(small_mesh: SmallMesh) -> None:
    """And the next `up` finds neither a process nor a socket nor a lock in its way,
    even when one of the children was frozen and could not go.
    """
    small_mesh.up()
    control.pause(small_mesh.paths, "spire-agent")
    before = small_mesh.status()
    children = [process.id for process in before.processes if process.id]
    assert before.supervisor is not None
    before.supervisor.send(signal.SIGKILL)
    until(lambda: [child.is_alive() for child in children].count(True) == 1)
    assert lifecycle.running(small_mesh.paths) is None
    found = small_mesh.up()
    assert not any(child.is_alive() for child in children)
    assert found.supervisor != before.supervisor
    assert identity_of(small_mesh, "ledger") == small_mesh.mesh.spiffe_id("ledger")


def test_down_ends_everything_in_order(small_mesh: SmallMesh) -> None:
    """No process is left, PostgreSQL was shut down and not crashed, data is still there."""
    small_mesh.up()
    processes: list[ProcessId] = [p.id for p in small_mesh.status().processes if p.id]
    log = small_mesh.paths.log("postgres")
    size = log.stat().st_size
    assert small_mesh.down()
    assert not any(process.is_alive() for process in processes)
    assert not small_mesh.down()
    assert "not properly shut down" not in log.read_text()[size:]
    assert not small_mesh.paths.control_socket.exists()
    secrets = sorted(path.name for path in small_mesh.paths.secrets.iterdir())
    small_mesh.up()
    assert sorted(path.name for path in small_mesh.paths.secrets.iterdir()) == secrets
    log_text = log.read_text()
    assert "not properly shut down" not in log_text[size:]


def test_two_at_once_start_one(small_mesh: SmallMesh) -> None:
    """The second waits for the first one's mesh."""
    small_mesh.down()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = (task.result() for task in [pool.submit(small_mesh.up) for _ in range(2)])
    assert first.supervisor == second.supervisor


def test_a_port_in_use_is_a_sentence(small_mesh: SmallMesh) -> None:
    """Which port, who needs it, what to do; and nothing is left running."""
    small_mesh.down()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((small_mesh.mesh.address, small_mesh.mesh.ports["spire_server"]))
        taken.listen()
        with pytest.raises(StartError, match="PAYMESH_PORT_OFFSET") as error:
            small_mesh.up()
    assert str(small_mesh.mesh.ports["spire_server"]) in str(error.value)
    assert lifecycle.running(small_mesh.paths) is None


def test_a_process_that_cannot_start_is_named_with_its_log(small_mesh: SmallMesh) -> None:
    """The sentence names it, and its own last words follow."""
    small_mesh.up()
    small_mesh.down()
    keys = small_mesh.paths.data / "spire-server" / "keys.json"
    good = keys.read_bytes()
    keys.write_text("{")
    try:
        with pytest.raises(StartError, match="spire-server does not start") as error:
            small_mesh.up()
    finally:
        keys.write_bytes(good)
    assert "keys.json" in str(error.value) or "JSON" in str(error.value)
    assert lifecycle.running(small_mesh.paths) is None


def test_an_interrupt_leaves_nothing_behind(small_mesh: SmallMesh) -> None:
    """Ctrl-C during `up` ends what it has started."""
    small_mesh.down()

    def interrupt(found: object) -> None:
        del found
        if any(small_mesh.pids().values()):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lifecycle.start(small_mesh.paths, interrupt, PROGRAM)
    assert lifecycle.running(small_mesh.paths) is None
    me = identity.identify(os.getpid())
    assert me is not None
    assert me.is_alive()


def test_no_secret_is_in_a_log_or_an_argument(small_mesh: SmallMesh) -> None:
    """Passwords, tokens and keys stand in files only."""
    small_mesh.up()
    paths = small_mesh.paths
    secrets = [p.read_bytes().strip() for p in paths.secrets.iterdir() if p.is_file()]
    assert len(secrets) > 5
    seen = b"".join(path.read_bytes() for path in paths.logs.iterdir())
    for pid in small_mesh.pids().values():
        for kind in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{kind}", "rb") as file:  # noqa: PTH123 — of /proc
                seen += file.read()
    assert not [secret for secret in secrets if secret in seen]


def test_changed_inputs_start_the_mesh_anew(
    small_mesh: SmallMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an edit of a source `up` does not leave the old code running."""
    before = small_mesh.up()
    monkeypatch.setattr(lifecycle.inputs, "fingerprint", lambda *_: "edited")
    after = small_mesh.up()
    assert after.state == "ready"
    assert after.supervisor != before.supervisor


@pytest.mark.parametrize("home", ["/dev/null/home", "/proc/home"])
def test_a_home_that_cannot_be_made_is_a_sentence(home: str, tmp_path: Path) -> None:
    """It names the place and the variable."""
    with pytest.raises(ConfigError, match="PAYMESH_HOME") as error:
        lifecycle.start(Paths(home=Path(home), cache=tmp_path), lambda _: None)
    assert home in str(error.value)


def test_purge_is_for_homes_that_are_down(small_mesh: SmallMesh) -> None:
    """It refuses a running mesh and a directory that is none of its own."""
    small_mesh.up()
    with pytest.raises(ConfigError, match="paymesh down"):
        lifecycle.purge(small_mesh.paths)
    other = Paths(home=small_mesh.paths.home.parent / "photos", cache=small_mesh.paths.cache)
    other.home.mkdir()
    (other.home / "holiday.jpg").write_text("")
    with pytest.raises(ConfigError, match="nothing was removed"):
        lifecycle.purge(other)
    assert (other.home / "holiday.jpg").exists()
