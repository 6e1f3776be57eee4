"""The pool, transactions and migrations against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from meshkit import context, database, testing
from meshkit.database import (
    DatabaseConflict,
    DatabaseUnavailable,
    MigrationError,
    Pool,
    migrate,
    open_pool,
    transaction,
)

MakeDatabase = Callable[[str], Any]


@pytest.fixture(scope="module")
def ledger(make_database: MakeDatabase) -> Any:
    """A database with one table that the service's role may write."""
    made = make_database("ledger")
    with psycopg.connect(made.owner_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE note (id int PRIMARY KEY, text text NOT NULL)")
        connection.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON note TO ledger")
    return made


@pytest.fixture
async def pool(ledger: Any, tmp_path: Path) -> AsyncIterator[Pool]:
    """The service's pool."""
    config = testing.app_config(tmp_path, dsn=ledger.service_dsn)
    pool = await open_pool(config, max_connections=2)
    async with transaction(pool) as connection:
        await connection.execute("DELETE FROM note")
    yield pool
    await pool.close()


async def test_sessions_have_their_limits(pool: Pool) -> None:
    """Every session has statement, lock and idle timeouts, UTC, and the workload's name."""
    async with transaction(pool) as connection:
        shown = [
            (await (await connection.execute(f"SHOW {name}")).fetchone() or ("",))[0]
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "TimeZone",
                "application_name",
            )
        ]
    assert shown == ["5s", "3s", "10s", "UTC", "ledger"]


async def test_a_transaction_is_all_or_nothing(pool: Pool) -> None:
    """What was written before an exception is gone after it."""

    async def write_and_fail() -> None:
        async with transaction(pool) as connection:
            await connection.execute("INSERT INTO note VALUES (1, 'a')")
            raise RuntimeError("changed our mind")

    with pytest.raises(RuntimeError):
        await write_and_fail()
    async with transaction(pool) as connection:
        row = await (await connection.execute("SELECT count(*) FROM note")).fetchone()
    assert row == (0,)


async def test_an_integrity_error_stays_what_it_is(pool: Pool) -> None:
    """A unique violation is the service's to read, not an unavailable database."""
    async with transaction(pool) as connection:
        await connection.execute("INSERT INTO note VALUES (1, 'a')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with transaction(pool) as connection:
            await connection.execute("INSERT INTO note VALUES (1, 'b')")


async def test_a_statement_too_slow_is_unavailable(
    ledger: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement beyond its timeout ends as DATABASE_UNAVAILABLE."""
    monkeypatch.setattr(database, "STATEMENT_TIMEOUT_MILLISECONDS", 100)
    pool = await open_pool(testing.app_config(tmp_path, dsn=ledger.service_dsn))
    try:
        with pytest.raises(DatabaseUnavailable):
            async with transaction(pool) as connection:
                await connection.execute("SELECT pg_sleep(5)")
    finally:
        await pool.close()


async def test_a_full_pool_is_unavailable_within_the_calls_time(pool: Pool) -> None:
    """With every connection taken, a call waits no longer than it has."""
    async with transaction(pool), transaction(pool):
        started = time.monotonic()
        call = testing.call_context(deadline_seconds=started + 0.3)
        with context.activate(call), pytest.raises(DatabaseUnavailable):
            async with transaction(pool):
                pass
        assert time.monotonic() - started < 1.5


async def test_transactions_in_each_others_way_are_a_conflict(pool: Pool) -> None:
    """Of two transactions that deadlock, one gets DATABASE_CONFLICT, the other commits."""
    async with transaction(pool) as connection:
        await connection.execute("INSERT INTO note VALUES (1, ''), (2, '')")
    met = asyncio.Barrier(2)

    async def update(first: int, second: int) -> None:
        async with transaction(pool) as connection:
            await connection.execute("UPDATE note SET text = 'x' WHERE id = %s", (first,))
            await met.wait()
            await connection.execute("UPDATE note SET text = 'y' WHERE id = %s", (second,))

    outcomes = await asyncio.gather(update(1, 2), update(2, 1), return_exceptions=True)
    conflicts = [outcome for outcome in outcomes if isinstance(outcome, DatabaseConflict)]
    assert (len(conflicts), outcomes.count(None)) == (1, 1)
    assert conflicts[0].retry_after_seconds == 0.1


async def test_a_database_that_is_not_there_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service starts without its database and answers DATABASE_UNAVAILABLE."""
    monkeypatch.setattr(database, "POOL_TIMEOUT_SECONDS", 0.5)
    pool = await open_pool(testing.app_config(tmp_path, dsn=f"host={tmp_path} dbname=none"))
    try:
        with pytest.raises(DatabaseUnavailable):
            async with transaction(pool):
                pass
    finally:
        await pool.close()


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """Two migrations."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    (directory / "0001_first.sql").write_text(
        "CREATE TABLE thing (id int PRIMARY KEY, percent text DEFAULT '100%');\n"
        "INSERT INTO thing VALUES (1);\n"
    )
    (directory / "0002_second.sql").write_text("ALTER TABLE thing ADD COLUMN more text;\n")
    return directory


def _tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    return {row[0] for row in rows}


@pytest.fixture
def empty_dsn(make_database: MakeDatabase, request: pytest.FixtureRequest) -> str:
    """The owner's conninfo of a database that has nothing in it."""
    name = "m" + "".join(filter(str.isalnum, request.node.name))[-40:].lower()
    dsn: str = make_database(name).owner_dsn
    return dsn


def test_migrations_apply_once_and_in_order(empty_dsn: str, migrations: Path) -> None:
    """The first run applies all, the second none, a third only what was added."""
    assert migrate(empty_dsn, migrations) == ["0001_first.sql", "0002_second.sql"]
    assert migrate(empty_dsn, migrations) == []
    (migrations / "0003_third.sql").write_text("CREATE TABLE other (id int);\n")
    assert migrate(empty_dsn, migrations) == ["0003_third.sql"]


def test_a_migration_that_fails_leaves_nothing(empty_dsn: str, migrations: Path) -> None:
    """A file that fails half-way is rolled back whole; those before it stay; mended, it applies."""
    second = migrations / "0002_second.sql"
    second.write_text("CREATE TABLE half (id int); SELECT 1/0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_dsn, migrations)
    assert _tables(empty_dsn) == {"schema_migrations", "thing"}
    second.write_text("CREATE TABLE half (id int);")
    assert migrate(empty_dsn, migrations) == ["0002_second.sql"]


def test_two_at_once_apply_each_migration_once(empty_dsn: str, migrations: Path) -> None:
    """Runs at the same time wait for each other; together they apply everything once."""
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda _: migrate(empty_dsn, migrations), range(4)))
    assert sorted(name for run in runs for name in run) == ["0001_first.sql", "0002_second.sql"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: (d / "0001_first.sql").write_text("SELECT 1"), "changed after"),
        (lambda d: (d / "0001_first.sql").unlink(), "no longer there"),
        (lambda d: (d / "0002_again.sql").write_text("SELECT 1"), "number 0002"),
        (lambda d: (d / "0000_before.sql").write_text("SELECT 1"), "comes before"),
        (lambda d: (d / "third.sql").write_text("SELECT 1"), "not named"),
    ],
    ids=["changed", "removed", "twice", "before", "name"],
)
def test_migrations_that_do_not_fit_are_refused(
    empty_dsn: str, migrations: Path, change: Callable[[Path], None], message: str
) -> None:
    """A file changed, removed, numbered twice, put before others or misnamed: one sentence."""
    migrate(empty_dsn, migrations)
    change(migrations)
    with pytest.raises(MigrationError, match=message):
        migrate(empty_dsn, migrations)
