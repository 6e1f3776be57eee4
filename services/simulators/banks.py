"""The bank data provider, `api.banks.test`.

POST   /v1/exchange {public_token} -> 200 {reference}
GET    /v1/references/{reference}  -> 200 {verification_status: pending | verified | failed}
DELETE /v1/references/{reference}  -> 200 {removed: true}, again and again
GET    /_admin/references          -> what it holds, for tests

Public tokens: public-sandbox-success-X, public-sandbox-failed-X and
public-sandbox-pending-X (pending the first time it is asked, verified from the
second on), X being 1 to 80 of A-Z, a-z, 0-9 and hyphen. X may begin with a fault:

slow     the exchange takes two seconds
error    500 the first time a key is seen, nothing exchanged
lost     exchanged, but the connection is cut before the answer
"""

from __future__ import annotations

import re
import sqlite3

from aiohttp import web

from simulators import faults
from simulators.database import Database
from simulators.errors import InvalidRequestError, NotFoundError
from simulators.idempotency import Answer, IdempotentCalls, fingerprint_of
from simulators.ids import new_id
from simulators.wire import (
    application,
    idempotency_key,
    json_parameters,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS bank_references (
    number INTEGER PRIMARY KEY,
    reference TEXT NOT NULL UNIQUE,
    idempotency_key TEXT NOT NULL UNIQUE,
    outcome TEXT NOT NULL CHECK (outcome IN ('success', 'pending', 'failed')),
    times_asked INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0
) STRICT;
"""

_LISTED = 1000
_PUBLIC_TOKEN = re.compile(
    r"public-sandbox-(?P<outcome>success|pending|failed)-(?P<rest>[A-Za-z0-9-]{1,80})"
)
_STATUS = {"success": "verified", "pending": "verified", "failed": "failed"}


class BankData:
    """The handlers; one instance owns the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._calls = IdempotentCalls(database)

    def application(self, key_digest: bytes) -> web.Application:
        """The HTTP application."""
        app = application(key_digest)
        app.router.add_post("/v1/exchange", self.exchange)
        app.router.add_get("/v1/references/{reference}", self.status)
        app.router.add_delete("/v1/references/{reference}", self.remove)
        app.router.add_get("/_admin/references", self.list)
        return app

    async def exchange(self, request: web.Request) -> web.Response:
        """POST /v1/exchange. The public token itself is not kept."""
        key = idempotency_key(request)
        given = await json_parameters(request, {"public_token": str})
        token = _PUBLIC_TOKEN.fullmatch(given["public_token"])
        if token is None:
            raise InvalidRequestError("public_token_invalid", "there is no such public token")
        outcome = token["outcome"]

        return await faults.answer(
            request,
            self._calls,
            key,
            fingerprint_of("exchange", given),
            lambda c: _exchange(c, key, outcome),
            fault=token["rest"],
            undone="nothing was exchanged",
        )

    async def status(self, request: web.Request) -> web.Response:
        """GET /v1/references/{reference}."""
        reference = request.match_info["reference"]
        status = await self._database.transaction(lambda c: _ask(c, reference))
        return web.json_response({"verification_status": status})

    async def remove(self, request: web.Request) -> web.Response:
        """DELETE /v1/references/{reference}."""
        reference = request.match_info["reference"]
        await self._database.transaction(lambda c: _remove(c, reference))
        return web.json_response({"removed": True})

    async def list(self, _request: web.Request) -> web.Response:
        """GET /_admin/references: {"count", "references": the newest 1000, oldest first}."""
        return web.json_response(await self._database.transaction(_list))


def _exchange(connection: sqlite3.Connection, key: str, outcome: str) -> Answer:
    reference = new_id("ref")
    connection.execute(
        "INSERT INTO bank_references (reference, idempotency_key, outcome) VALUES (?, ?, ?)",
        (reference, key, outcome),
    )
    return Answer(200, {"reference": reference})


def _ask(connection: sqlite3.Connection, reference: str) -> str:
    row = connection.execute(
        "UPDATE bank_references SET times_asked = times_asked + 1"
        " WHERE reference = ? AND removed = 0 RETURNING outcome, times_asked",
        (reference,),
    ).fetchone()
    if row is None:
        raise NotFoundError("reference_missing", "there is no such reference")
    if row["outcome"] == "pending" and row["times_asked"] == 1:
        return "pending"
    return _STATUS[row["outcome"]]


def _remove(connection: sqlite3.Connection, reference: str) -> None:
    done = connection.execute(
        "UPDATE bank_references SET removed = 1 WHERE reference = ?", (reference,)
    )
    if done.rowcount == 0:
        raise NotFoundError("reference_missing", "there is no such reference")


def _list(connection: sqlite3.Connection) -> dict[str, object]:
    count = connection.execute("SELECT count(*) FROM bank_references").fetchone()[0]
    newest = connection.execute(
        "SELECT * FROM bank_references ORDER BY number DESC LIMIT ?", (_LISTED,)
    ).fetchall()
    listed = [{**dict(row), "removed": bool(row["removed"])} for row in reversed(newest)]
    return {"count": count, "references": listed}
