"""A real PostgreSQL for the integration tests: one cluster a session, one database a module.

    def test_something(make_database):
        database = make_database("ledger")     # roles ledger_owner and ledger, an empty database
        database.owner_dsn, database.service_dsn, database.superuser_dsn

The cluster listens on a Unix socket in a directory of mode 0700 and nowhere else.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from paymesh.binaries import postgres_directory

_SUPERUSER = "postgres"
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1

# The tests care about what is committed, not about what survives a power cut.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "timezone": "UTC",
}


@dataclasses.dataclass(frozen=True)
class Database:
    """One empty database and who may enter it; the strings are libpq conninfos."""

    name: str
    owner_dsn: str
    service_dsn: str
    superuser_dsn: str


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    socket_directory: Path

    def dsn(self, database: str, role: str) -> str:
        """The conninfo of a role in a database."""
        return make_conninfo(host=str(self.socket_directory), dbname=database, user=role)

    def create_database(self, service: str) -> Database:
        """A new database owned by `<service>_owner` that the role `<service>` may enter.

        The roles have the names that they have in production, because the
        migrations grant to them by name; only the database's name is new.
        """
        owner = f"{service}_owner"
        name = f"{service}_{secrets.token_hex(4)}"
        with psycopg.connect(self.dsn("postgres", _SUPERUSER), autocommit=True) as connection:
            for role in (owner, service):
                known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
                if known.fetchone() is None:
                    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            database = sql.Identifier(name)
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(database, sql.Identifier(owner))
            )
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
            connection.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                    database, sql.Identifier(service)
                )
            )
        return Database(
            name=name,
            owner_dsn=self.dsn(name, owner),
            service_dsn=self.dsn(name, service),
            superuser_dsn=self.dsn(name, _SUPERUSER),
        )

    def drop_database(self, name: str) -> None:
        """Drops it, and whoever is still in it."""
        with psycopg.connect(self.dsn("postgres", _SUPERUSER), autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A cluster in a temporary directory, stopped by its pid and removed at the end."""
    binaries = postgres_directory()
    # /tmp by name: a socket's path is at most 107 bytes and TMPDIR may be long.
    root = Path(tempfile.mkdtemp(prefix="paymesh-pg-", dir="/tmp"))
    run_as = _unprivileged_user()
    try:
        if run_as is not None:
            os.chown(root, run_as.pw_uid, run_as.pw_gid)
        _initialise(binaries, root, run_as)
        with _postmaster(binaries, root, run_as):
            yield Cluster(socket_directory=root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def make_database(postgres_cluster: Cluster) -> Iterator[Callable[[str], Database]]:
    """Makes databases that live as long as the test module."""
    made: list[str] = []

    def make(service: str) -> Database:
        database = postgres_cluster.create_database(service)
        made.append(database.name)
        return database

    yield make
    for name in made:
        postgres_cluster.drop_database(name)


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Who runs PostgreSQL, which refuses root: nobody else's business when not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "paymesh-postgres"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    # initdb wants an entry in the password file, so a bare uid will not do.
    useradd = shutil.which("useradd")
    if useradd is None:
        pytest.fail("PostgreSQL refuses root, there is no user `postgres` and no useradd")
    subprocess.run(
        [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin",
         "paymesh-postgres"],
        check=True,
    )  # fmt: skip
    return pwd.getpwnam("paymesh-postgres")


def _initialise(binaries: Path, root: Path, run_as: pwd.struct_passwd | None) -> None:
    """initdb; its output is shown only when it fails."""
    command = [
        str(binaries / "initdb"), "--pgdata", str(root / "data"), "--username", _SUPERUSER,
        "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync",
    ]  # fmt: skip
    result = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, **_identity(run_as)
    )
    if result.returncode != 0:
        pytest.fail(f"initdb failed: {result.stdout}{result.stderr}")


@contextlib.contextmanager
def _postmaster(
    binaries: Path, root: Path, run_as: pwd.struct_passwd | None
) -> Iterator[subprocess.Popen[bytes]]:
    """The server, from answering until stopped."""
    settings = {**_SETTINGS, "unix_socket_directories": str(root)}
    command = [str(binaries / "postgres"), "-D", str(root / "data")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    log = root / "postgres.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=root, stdout=output, stderr=output, start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread runs yet
            **_identity(run_as),
        ) as process,
    ):  # fmt: skip
        try:
            _wait_until_answering(process, root, log)
            yield process
        finally:
            _stop(process)


def _die_with_parent() -> None:
    """Has the kernel shut the server down when the test run is killed (Linux, prctl(2)).

    Comes after the change of user, which would undo it.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _wait_until_answering(process: subprocess.Popen[bytes], root: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    dsn = make_conninfo(host=str(root), dbname="postgres", user=_SUPERUSER)
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL did not start: {log.read_text(errors='replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """A fast shutdown, and an end to it when that takes too long."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait()


def _identity(run_as: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments of subprocess that shed root."""
    if run_as is None:
        return {}
    return {"user": run_as.pw_uid, "group": run_as.pw_gid, "extra_groups": []}
