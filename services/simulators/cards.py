"""The card processor, `api.cards.test`.

POST /v1/charges  {amount, currency, source, reference} -> 200 {id, status, ...}
POST /v1/refunds  {charge, amount}                      -> 200 {id, status, ...}
GET  /_admin/charges, /_admin/refunds                   -> what really happened, for tests

What becomes of a charge is chosen by the beginning of its source:

tok_visa, tok_mastercard, tok_amex, bank:   succeeds
tok_declined                                declined, card_declined
tok_insufficient                            declined, insufficient_funds
tok_slow                                    succeeds after two seconds
tok_error                                   500 the first time a key is seen, nothing charged
tok_broken                                  500 that is kept, nothing charged
tok_lost                                    charged, but the connection is cut before the answer
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from simulators import faults
from simulators.database import Database
from simulators.errors import InjectedFaultError, InvalidRequestError, NotFoundError
from simulators.idempotency import Answer, IdempotentCalls, fingerprint_of
from simulators.ids import new_id
from simulators.wire import (
    application,
    idempotency_key,
    json_parameters,
    respond,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    idempotency_key TEXT NOT NULL UNIQUE,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    source TEXT NOT NULL,
    reference TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('succeeded', 'declined')),
    decline_code TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS refunds (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    idempotency_key TEXT NOT NULL UNIQUE,
    charge TEXT NOT NULL REFERENCES charges (id),
    amount INTEGER NOT NULL CHECK (amount > 0),
    status TEXT NOT NULL
) STRICT;
"""

_MAX_AMOUNT = 10**12
_LISTED = 1000
_CURRENCY = re.compile(r"[A-Z]{3}")
_SOURCE = re.compile(r"tok_[a-z0-9_]{1,96}|bank:[A-Za-z0-9_.*-]{1,120}")
_REFERENCE = re.compile(r"[\x21-\x7e]{1,200}")
_KNOWN = re.compile(
    r"bank:|tok_(visa|mastercard|amex|declined|insufficient|slow|error|broken|lost)(_|\d|$)"
)
_DECLINES = {"tok_declined": "card_declined", "tok_insufficient": "insufficient_funds"}


class CardProcessor:
    """The handlers; one instance owns the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._calls = IdempotentCalls(database)

    def application(self, key_digest: bytes) -> web.Application:
        """The HTTP application."""
        app = application(key_digest)
        app.router.add_post("/v1/charges", self.charge)
        app.router.add_post("/v1/refunds", self.refund)
        app.router.add_get("/_admin/charges", self._list("charges"))
        app.router.add_get("/_admin/refunds", self._list("refunds"))
        return app

    async def charge(self, request: web.Request) -> web.Response:
        """POST /v1/charges."""
        key = idempotency_key(request)
        given = await json_parameters(
            request, {"amount": int, "currency": str, "source": str, "reference": str}
        )
        _check_amount(given["amount"])
        source: str = given["source"]
        if not _CURRENCY.fullmatch(given["currency"]):
            raise InvalidRequestError("currency_invalid", "currency is three capital letters")
        if not _REFERENCE.fullmatch(given["reference"]):
            raise InvalidRequestError(
                "reference_invalid", "reference is 1 to 200 visible characters"
            )
        if not _SOURCE.fullmatch(source) or not _KNOWN.match(source):
            raise InvalidRequestError("source_invalid", "there is no such token")

        return await faults.answer(
            request,
            self._calls,
            key,
            fingerprint_of("charge", given),
            lambda c: _charge(c, key, given),
            fault=source.removeprefix("tok_"),
            undone="nothing was charged",
        )

    async def refund(self, request: web.Request) -> web.Response:
        """POST /v1/refunds."""
        key = idempotency_key(request)
        given = await json_parameters(request, {"charge": str, "amount": int})
        _check_amount(given["amount"])
        answer = await self._calls.run(
            key, fingerprint_of("refund", given), lambda c: _refund(c, key, given), _nothing
        )
        return respond(answer)

    def _list(self, table: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        """GET /_admin/{table}: {"count": all of them, "<table>": the newest 1000, oldest first}."""

        def rows(connection: sqlite3.Connection) -> dict[str, object]:
            count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            newest = connection.execute(
                f"SELECT * FROM {table} ORDER BY number DESC LIMIT ?",  # noqa: S608 - not input
                (_LISTED,),
            ).fetchall()
            return {"count": count, table: [dict(row) for row in reversed(newest)]}

        async def handle(_request: web.Request) -> web.Response:
            return web.json_response(await self._database.transaction(rows))

        return handle


async def _nothing() -> None:
    """No fault before a refund."""


def _check_amount(amount: int) -> None:
    if not 0 < amount <= _MAX_AMOUNT:
        raise InvalidRequestError("amount_invalid", "amount is a positive number of minor units")


def _charge(connection: sqlite3.Connection, key: str, given: dict[str, Any]) -> Answer:
    source: str = given["source"]
    if source.startswith("tok_broken"):
        raise InjectedFaultError("broken", "nothing was charged, and this key will not be executed")
    decline = next((code for start, code in _DECLINES.items() if source.startswith(start)), None)
    body: dict[str, object] = {
        "id": new_id("ch"),
        "status": "declined" if decline else "succeeded",
        "amount": given["amount"],
        "currency": given["currency"],
        "reference": given["reference"],
    }
    if decline:
        body["decline_code"] = decline
    connection.execute(
        "INSERT INTO charges"
        " (id, idempotency_key, amount, currency, source, reference, status, decline_code)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            body["id"],
            key,
            given["amount"],
            given["currency"],
            source,
            given["reference"],
            body["status"],
            decline,
        ),
    )
    return Answer(200, body)


def _refund(connection: sqlite3.Connection, key: str, given: dict[str, Any]) -> Answer:
    charge = connection.execute(
        "SELECT amount, status FROM charges WHERE id = ?", (given["charge"],)
    ).fetchone()
    if charge is None:
        raise NotFoundError("charge_missing", "there is no such charge")
    if charge["status"] != "succeeded":
        raise InvalidRequestError(
            "charge_not_succeeded", "a charge that was declined has nothing to refund"
        )
    refunded = connection.execute(
        "SELECT coalesce(sum(amount), 0) FROM refunds WHERE charge = ?", (given["charge"],)
    ).fetchone()[0]
    if refunded + given["amount"] > charge["amount"]:
        raise InvalidRequestError("refund_too_large", "the refunds would be more than the charge")
    refund_id = new_id("re")
    connection.execute(
        "INSERT INTO refunds (id, idempotency_key, charge, amount, status) VALUES (?, ?, ?, ?, ?)",
        (refund_id, key, given["charge"], given["amount"], "succeeded"),
    )
    return Answer(
        200,
        {
            "id": refund_id,
            "status": "succeeded",
            "charge": given["charge"],
            "amount": given["amount"],
        },
    )
