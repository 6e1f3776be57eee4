"""The ledger's own schema in a database of the module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ledger
from ledger.store import PostgresStore
from meshkit.database import Pool, migrate, open_pool
from meshkit.testing import app_config

if TYPE_CHECKING:
    from tests.integration.conftest import Database

MIGRATIONS = Path(ledger.__file__).parent / "migrations"


@pytest.fixture(scope="module")
def database(make_database: Callable[[str], Database]) -> Database:
    """The migrated database of this module."""
    database = make_database("ledger")
    migrate(database.owner_dsn, MIGRATIONS)
    return database


@pytest.fixture
async def pool(database: Database, tmp_path: Path) -> AsyncIterator[Pool]:
    """The service's own pool, as the service's own role."""
    pool = await open_pool(app_config(tmp_path, dsn=database.service_dsn))
    yield pool
    await pool.close()


@pytest.fixture
def postgres_store(pool: Pool) -> PostgresStore:
    """The real store."""
    return PostgresStore(pool)
