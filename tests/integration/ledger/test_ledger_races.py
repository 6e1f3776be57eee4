"""Many calls at once against real PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest

from ledger.domain import Account, AccountKind, Leg, Opening, Posting, RequestId
from ledger.errors import RequestIdReusedError
from ledger.store import PostgresStore
from meshkit.database import DatabaseUnavailable, Pool
from meshkit.identity import SpiffeId
from meshkit.money import Currency, Money

if TYPE_CHECKING:
    from tests.integration.conftest import Database

EUR = Currency.parse("EUR")
PAYMENTS = SpiffeId.of_workload("paymesh.internal", "paymesh", "payments")
AT_ONCE = 40


@pytest.fixture
def entity() -> str:
    """A legal entity of this test's own: the database is the module's."""
    return f"e-{secrets.token_hex(6)}"


def request_id() -> RequestId:
    """A fresh one."""
    return RequestId(uuid.uuid4())


async def opened(store: PostgresStore, entity: str) -> Account:
    """A new account."""
    opening = Opening(entity, AccountKind.MERCHANT, EUR)
    return await store.open_account(PAYMENTS, request_id(), opening)


def posting(debit: Account, credit: Account, units: int) -> Posting:
    """A transfer of two legs."""
    return Posting(
        legs=(
            Leg(debit.account_id, Money(EUR, -units)),
            Leg(credit.account_id, Money(EUR, units)),
        ),
        reference="",
    )


async def test_one_transfer_for_one_request_id(postgres_store: PostgresStore, entity: str) -> None:
    """However many send the same request at once, it is posted once and all get that transfer."""
    one, two = await opened(postgres_store, entity), await opened(postgres_store, entity)
    key, asked = request_id(), posting(one, two, 7)
    transfers = await asyncio.gather(
        *(postgres_store.post(PAYMENTS, key, asked, entity) for _ in range(AT_ONCE))
    )
    assert len(set(transfers)) == 1
    balance = await postgres_store.balance(two)
    assert (balance.minor_units, balance.entry_count) == (7, 1)


async def test_one_winner_among_different_contents(
    postgres_store: PostgresStore, entity: str
) -> None:
    """Different contents under one request id at once: one is posted, the others are refused."""
    one, two = await opened(postgres_store, entity), await opened(postgres_store, entity)
    key = request_id()
    results = await asyncio.gather(
        *(
            postgres_store.post(PAYMENTS, key, posting(one, two, units), entity)
            for units in range(1, AT_ONCE + 1)
        ),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, RequestIdReusedError)]
    assert len(refused) == AT_ONCE - 1
    assert (await postgres_store.balance(two)).entry_count == 1


async def test_one_account_for_one_request_id(postgres_store: PostgresStore, entity: str) -> None:
    """However many open an account by the same request at once, one is opened."""
    key, opening = request_id(), Opening(entity, AccountKind.MERCHANT, EUR)
    accounts = await asyncio.gather(
        *(postgres_store.open_account(PAYMENTS, key, opening) for _ in range(AT_ONCE))
    )
    assert len(set(accounts)) == 1
    assert len(await postgres_store.balances(entity, None, 100)) == 1


async def test_one_clearing_account_for_all(postgres_store: PostgresStore, entity: str) -> None:
    """However many open the clearing account by requests of their own, there is one."""
    opening = Opening(entity, AccountKind.CLEARING, EUR)
    accounts = await asyncio.gather(
        *(postgres_store.open_account(PAYMENTS, request_id(), opening) for _ in range(AT_ONCE))
    )
    assert len(set(accounts)) == 1
    assert len(await postgres_store.balances(entity, None, 100)) == 1


async def test_transfers_on_one_account_lose_nothing(
    postgres_store: PostgresStore, entity: str
) -> None:
    """Transfers over one hot account in both directions at once: every one counts, none waits
    itself into a deadlock, and all accounts together stay zero.
    """
    hot = await opened(postgres_store, entity)
    others = [await opened(postgres_store, entity) for _ in range(5)]
    postings = [
        posting(hot, other, units) if units % 2 else posting(other, hot, units)
        for units in range(1, 41)
        for other in others
    ]
    await asyncio.gather(
        *(postgres_store.post(PAYMENTS, request_id(), asked, entity) for asked in postings)
    )
    balances = await postgres_store.balances(entity, None, 100)
    assert sum(balance.minor_units for balance in balances) == 0
    by_account = {balance.account: balance for balance in balances}
    assert by_account[hot].entry_count == len(postings)
    assert by_account[hot].minor_units == 5 * sum(
        -units if units % 2 else units for units in range(1, 41)
    )


async def test_an_open_transaction_holds_up_nobody_else(
    postgres_store: PostgresStore, database: Database, entity: str
) -> None:
    """While one transfer on an account is not committed yet, another on it goes through."""
    one, two = await opened(postgres_store, entity), await opened(postgres_store, entity)
    slow = await psycopg.AsyncConnection.connect(database.service_dsn)
    async with slow:
        cursor = await slow.execute(
            "INSERT INTO transfers"
            " (caller, request_id, content_hash, legal_entity, leg_count, reference)"
            " VALUES ('slow', gen_random_uuid(), sha256('x'), %s, 2, '') RETURNING transfer_id",
            [entity],
        )
        (transfer_id,) = await cursor.fetchone() or ()
        for account, units in ((one, -1), (two, 1)):
            await slow.execute(
                "INSERT INTO entries"
                " (transfer_id, account_id, legal_entity, currency_code, minor_units)"
                " VALUES (%s, %s, %s, 'EUR', %s)",
                [transfer_id, account.account_id, entity, units],
            )
        async with asyncio.timeout(2):
            await postgres_store.post(PAYMENTS, request_id(), posting(one, two, 7), entity)
        assert (await postgres_store.balance(two)).minor_units == 7
    assert (await postgres_store.balance(two)).minor_units == 8


async def test_the_database_away_and_back(
    postgres_store: PostgresStore, pool: Pool, database: Database, entity: str
) -> None:
    """When its sessions are killed a call fails as UNAVAILABLE at worst, and by its request id
    the caller finds out what became of it: never more than one transfer.
    """
    one, two = await opened(postgres_store, entity), await opened(postgres_store, entity)
    key, asked = request_id(), posting(one, two, 7)
    kill = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE usename = 'ledger' AND datname = current_database()"
    )
    async with await psycopg.AsyncConnection.connect(
        database.superuser_dsn, autocommit=True
    ) as superuser:
        for _ in range(5):
            calls = [
                asyncio.create_task(postgres_store.post(PAYMENTS, key, asked, entity))
                for _ in range(10)
            ]
            await superuser.execute(kill)
            results = await asyncio.gather(*calls, return_exceptions=True)
            unexpected = [
                result
                for result in results
                if isinstance(result, BaseException) and not isinstance(result, DatabaseUnavailable)
            ]
            assert unexpected == []
    await pool.check()
    await postgres_store.post(PAYMENTS, key, asked, entity)
    balance = await postgres_store.balance(two)
    assert (balance.minor_units, balance.entry_count) == (7, 1)
