"""The payments schema in a database of the module, and two stores as of two processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

import payments
from meshkit.database import migrate, open_pool
from meshkit.testing import app_config
from payments.store import PostgresStore

if TYPE_CHECKING:
    from tests.integration.conftest import Database

MIGRATIONS = Path(payments.__file__).parent / "migrations"
TABLES = ("refund", "payment", "operation")

Stores = Callable[[float], PostgresStore]


@pytest.fixture(scope="module")
def database(make_database: Callable[[str], Database]) -> Database:
    """The migrated database of this module."""
    database = make_database("payments")
    migrate(database.owner_dsn, MIGRATIONS)
    return database


@pytest.fixture
def empty_database(database: Database) -> Database:
    """The same, emptied."""
    with psycopg.connect(database.superuser_dsn) as connection:
        connection.execute("TRUNCATE operation, payment, refund")
    return database


@pytest.fixture
async def make_store(empty_database: Database, tmp_path: Path) -> AsyncIterator[Stores]:
    """Makes stores with pools of their own, as the service's role; the lease is in seconds."""
    async with AsyncExitStack() as stack:
        pools = [
            await open_pool(app_config(tmp_path, dsn=empty_database.service_dsn)) for _ in range(2)
        ]
        for pool in pools:
            stack.push_async_callback(pool.close)

        def make(lease_seconds: float) -> PostgresStore:
            pools.append(pools.pop(0))
            return PostgresStore(pools[0], lease_seconds)

        yield make
