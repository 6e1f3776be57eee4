"""PostgreSQL: a bounded pool, transactions whose failures are translated, migrations."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from meshkit import dsn
from meshkit.config import AppConfig, ConfigError
from meshkit.context import current_or_none
from meshkit.errors import MeshError

Pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]
Connection = psycopg.AsyncConnection[TupleRow]

STATEMENT_TIMEOUT_MILLISECONDS = 5_000
LOCK_TIMEOUT_MILLISECONDS = 3_000
IDLE_IN_TRANSACTION_TIMEOUT_MILLISECONDS = 10_000
CONNECT_TIMEOUT_SECONDS = 5
MAX_CONNECTIONS = 8
MAX_WAITING = 256
POOL_TIMEOUT_SECONDS = 5.0

_MIGRATION = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
# Any number does, as long as it stays the same: it names the lock of migrations.
_MIGRATION_LOCK = 0x7061796D657368


class DatabaseUnavailable(MeshError):
    """The database cannot be reached or did not answer in time.

    Nothing was written, except when the connection was lost during a COMMIT: then
    nobody knows, and the same request with the same id finds out.
    """

    code = grpc.StatusCode.UNAVAILABLE
    reason = "DATABASE_UNAVAILABLE"
    message = "The database cannot be reached."

    def __init__(self) -> None:
        super().__init__(retry_after_seconds=1.0)


class DatabaseConflict(MeshError):
    """The database gave up one of two transactions that stood in each other's way."""

    code = grpc.StatusCode.ABORTED
    reason = "DATABASE_CONFLICT"
    message = "Another call changed the same things at the same time."

    def __init__(self) -> None:
        super().__init__(retry_after_seconds=0.1)


class MigrationError(Exception):
    """The migrations on disk do not fit those that were applied; the message says how."""


def translate(error: psycopg.OperationalError) -> MeshError:
    """Return the MeshError that an OperationalError of psycopg or its pool stands for."""
    if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
        return DatabaseConflict()
    return DatabaseUnavailable()


@contextmanager
def translated() -> Iterator[None]:
    """Raise DatabaseUnavailable or DatabaseConflict in place of psycopg's OperationalError."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise translate(error) from error


async def open_pool(config: AppConfig, *, max_connections: int = MAX_CONNECTIONS) -> Pool:
    """Open the pool of the service's own role; every session has the timeouts above.

    Does not wait for the database: a service starts without it and answers
    UNAVAILABLE until it is there. Close it with `on_stop=[pool.close]`. Raises
    ConfigError when the service was not told of a database, or of none that can be read.
    """
    if config.dsn is None:
        raise ConfigError("PAYMESH_DSN_FILE is not set.")
    try:
        settings = dsn.settings(config.dsn)
    except dsn.DsnError as error:
        raise ConfigError(f"PAYMESH_DSN_FILE: {error}") from None
    settings["options"] = " ".join(
        part
        for part in (
            settings.get("options"),
            f"-c statement_timeout={STATEMENT_TIMEOUT_MILLISECONDS}",
            f"-c lock_timeout={LOCK_TIMEOUT_MILLISECONDS}",
            f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MILLISECONDS}",
            "-c TimeZone=UTC",
        )
        if part
    )
    settings["connect_timeout"] = CONNECT_TIMEOUT_SECONDS
    settings["application_name"] = config.workload
    pool: Pool = AsyncConnectionPool(
        make_conninfo("", **settings),
        min_size=1,
        max_size=max_connections,
        max_waiting=MAX_WAITING,
        timeout=POOL_TIMEOUT_SECONDS,
        max_idle=300.0,
        max_lifetime=1800.0,
        # A connection that a restart of the server has cut is found out before it is
        # given to a call, not by the call.
        check=AsyncConnectionPool.check_connection,
        # The pool doubles its waits for as long as it keeps trying; given up early, the
        # next call tries anew, and the service is back a second after the database.
        reconnect_timeout=2.0,
        open=False,
        name=config.workload,
    )
    await pool.open(wait=False)
    return pool


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Give a connection within a transaction: committed at the end, rolled back on any exception.

    Waits for a connection no longer than the current call may still take.
    Raises DatabaseUnavailable, DatabaseConflict.
    """
    call = current_or_none()
    remaining_seconds = call.remaining_seconds() if call else None
    timeout_seconds = min(
        POOL_TIMEOUT_SECONDS,
        POOL_TIMEOUT_SECONDS if remaining_seconds is None else remaining_seconds,
    )
    with translated():
        async with (
            pool.connection(timeout=timeout_seconds) as connection,
            connection.transaction(),
        ):
            yield connection


def migrate(conninfo: str, directory: Path) -> list[str]:
    """Apply `NNNN_*.sql` of the directory in order, each once; return the names applied now.

    Each file is one transaction together with its record in schema_migrations;
    an advisory lock keeps two migrations apart. `conninfo` is the owner role's. A
    number twice, a file changed or removed after it was applied: MigrationError.
    """
    files = _migration_files(directory)
    applied_now: list[str] = []
    with psycopg.connect(
        conninfo, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS
    ) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        connection.execute(
            """
            CREATE TABLE IF NOT EXISTS schema_migrations (
                name text PRIMARY KEY,
                sha256 text NOT NULL,
                applied_time timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        applied: dict[str, str] = dict(
            connection.execute("SELECT name, sha256 FROM schema_migrations").fetchall()
        )
        _require_unchanged(files, applied)
        for path in files:
            if path.name in applied:
                continue
            with connection.transaction():
                # Not a literal of ours, but a committed file that runs as it is.
                connection.execute(sql.SQL(path.read_text(encoding="utf-8")))
                connection.execute(
                    "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)",
                    (path.name, _sha256(path)),
                )
            applied_now.append(path.name)
    return applied_now


def _migration_files(directory: Path) -> list[Path]:
    files = sorted(directory.glob("*.sql"))
    numbers: set[str] = set()
    for path in files:
        match = _MIGRATION.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named NNNN_words.sql.")
        if match[1] in numbers:
            raise MigrationError(f"Two migrations have the number {match[1]}.")
        numbers.add(match[1])
    if not files:
        raise MigrationError(f"There are no migrations in {directory}.")
    return files


def _require_unchanged(files: list[Path], applied: dict[str, str]) -> None:
    by_name = {path.name: path for path in files}
    for name, sha256 in sorted(applied.items()):
        path = by_name.get(name)
        if path is None:
            raise MigrationError(f"{name} was applied to this database but is no longer there.")
        if _sha256(path) != sha256:
            raise MigrationError(f"{name} was changed after it had been applied; add a new one.")
    last_applied = max(applied, default="")
    for path in files:
        if path.name not in applied and path.name < last_applied:
            raise MigrationError(f"{path.name} comes before {last_applied}, applied already.")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
