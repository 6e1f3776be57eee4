"""Idempotency keys by Stripe's rules (https://docs.stripe.com/api/idempotent_requests).

The first status and body are kept, failures included, once execution began.
The same key with other parameters is an error. The same key while the first
call runs is a conflict. A request that failed validation never began.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping

from simulators.database import Database
from simulators.errors import ApiError, ConflictError, IdempotencyMisuseError

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS faults (key TEXT PRIMARY KEY) STRICT;
"""


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP answer; `replayed` when it was kept from an earlier call."""

    status: int
    body: Mapping[str, object]
    replayed: bool = False


Work = Callable[[sqlite3.Connection], Answer]


class IdempotentCalls:
    """Runs each key's work once. Keys are kept for ever: at least 24 hours is what is promised."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # In memory on purpose: what ran when the process died was rolled back.
        self._running: set[str] = set()

    async def run(
        self, key: str, fingerprint: str, work: Work, before: Callable[[], Awaitable[None]]
    ) -> Answer:
        """The key's answer, executed now or kept.

        `before` is awaited only when there is no kept answer; what it raises
        is not kept, because execution has not begun. An ApiError raised by
        `work` is kept, and what `work` wrote before raising it is undone.

        Raises:
            ConflictError: a call with this key is running.
            IdempotencyMisuseError: the key was used with another fingerprint.
        """
        if key in self._running:
            raise ConflictError(
                "key_in_use", "a request with this idempotency key is still running"
            )
        self._running.add(key)
        try:
            kept = await self._database.transaction(lambda c: _kept(c, key, fingerprint))
            if kept is not None:
                return kept
            await before()
            return await self._database.transaction(lambda c: _execute(c, key, fingerprint, work))
        finally:
            self._running.discard(key)

    async def first_fault(self, key: str) -> bool:
        """True the first time it is asked for this key, for ever false after."""

        def mark(connection: sqlite3.Connection) -> bool:
            done = connection.execute("INSERT OR IGNORE INTO faults (key) VALUES (?)", (key,))
            return done.rowcount == 1

        return await self._database.transaction(mark)


def fingerprint_of(operation: str, parameters: Mapping[str, object]) -> str:
    """SHA-256 (hex) of the operation and its parameters, whatever their order."""
    text = json.dumps([operation, parameters], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _kept(connection: sqlite3.Connection, key: str, fingerprint: str) -> Answer | None:
    row = connection.execute(
        "SELECT fingerprint, status, body FROM answers WHERE key = ?", (key,)
    ).fetchone()
    if row is None:
        return None
    if row["fingerprint"] != fingerprint:
        raise IdempotencyMisuseError(
            "key_reused", "this idempotency key was used with other parameters"
        )
    return Answer(row["status"], json.loads(row["body"]), replayed=True)


def _execute(connection: sqlite3.Connection, key: str, fingerprint: str, work: Work) -> Answer:
    connection.execute("SAVEPOINT work")
    try:
        answer = work(connection)
    except ApiError as error:
        connection.execute("ROLLBACK TO work")
        answer = Answer(error.status, error.body())
    connection.execute("RELEASE work")
    connection.execute(
        "INSERT INTO answers (key, fingerprint, status, body) VALUES (?, ?, ?, ?)",
        (key, fingerprint, answer.status, json.dumps(answer.body)),
    )
    return answer
