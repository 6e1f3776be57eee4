"""A migrated database of bank-link's own, and the store as the service's role sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import bank_link
from bank_link.store import PostgresStore
from meshkit.database import migrate, open_pool
from meshkit.testing import app_config

MIGRATIONS = Path(bank_link.__file__ or "").with_name("migrations")


@pytest.fixture(scope="module")
def database(make_database: Callable[[str], Any]) -> Any:
    """An empty database with bank-link's schema."""
    made = make_database("bank_link")
    migrate(made.owner_dsn, MIGRATIONS)
    return made


@pytest.fixture
async def postgres_store(database: Any, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    """The store over a pool of the role `bank_link`."""
    pool = await open_pool(app_config(tmp_path, workload="bank-link", dsn=database.service_dsn))
    try:
        yield PostgresStore(pool)
    finally:
        await pool.close()
