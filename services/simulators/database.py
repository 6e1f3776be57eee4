"""State on disk: SQLite with a write-ahead log that is flushed before a commit returns.

An answer is sent only after its commit, so whatever a caller was told is
still true after `kill -9` or a power cut.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from simulators.errors import StartError

Result = TypeVar("Result")

_BUSY_TIMEOUT_SECONDS = 5.0


class Database:
    """One file, one thread: transactions run one after the other."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread

    async def transaction(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Runs `work` in one transaction; its exception rolls back and is raised."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    async def close(self) -> None:
        """Waits for what runs, then closes the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    def _transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        return result


def open_database(path: Path, schema: str) -> Database:
    """Opens or makes the file, readable by this user only, and applies `schema` (idempotent).

    Raises:
        StartError: the file cannot be opened or is not a database.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: the log is flushed at every commit; NORMAL may lose the last ones in a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(schema)
    except (OSError, sqlite3.Error) as error:
        raise StartError(f"the state file {path} cannot be used: {error}") from error
    return Database(connection, ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite"))
