"""One contract for both stores: PostgreSQL's and the one in memory that stands in for it."""

from __future__ import annotations

import secrets
import uuid
from collections import Counter

import pytest

from ledger.domain import (
    LARGEST_MINOR_UNITS,
    Account,
    AccountId,
    AccountKind,
    Leg,
    Opening,
    Posting,
    RequestId,
)
from ledger.errors import RequestIdReusedError
from ledger.handlers import Store
from ledger.store import PostgresStore
from ledger.testing import MemoryStore
from meshkit.identity import SpiffeId
from meshkit.money import CURRENCIES, Currency, Money

EUR = Currency.parse("EUR")
KWD = Currency.parse("KWD")
PAYMENTS = SpiffeId.of_workload("paymesh.internal", "paymesh", "payments")
GATEWAY = SpiffeId.of_workload("paymesh.internal", "paymesh", "gateway")


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each of the two."""
    if request.param == "memory":
        return MemoryStore()
    real: PostgresStore = request.getfixturevalue("postgres_store")
    return real


@pytest.fixture
def entity() -> str:
    """A legal entity of this test's own: the database is the module's."""
    return f"e-{secrets.token_hex(6)}"


def request_id() -> RequestId:
    """A fresh one."""
    return RequestId(uuid.uuid4())


async def opened(
    store: Store, entity: str, currency: Currency = EUR, kind: AccountKind = AccountKind.MERCHANT
) -> Account:
    """A new account."""
    return await store.open_account(PAYMENTS, request_id(), Opening(entity, kind, currency))


def posting(*legs: tuple[Account, int], reference: str = "order 17") -> Posting:
    """A posting in the accounts' own currencies."""
    return Posting(
        legs=tuple(
            Leg(account.account_id, Money(account.currency, units)) for account, units in legs
        ),
        reference=reference,
    )


async def test_an_opened_account_is_found(store: Store, entity: str) -> None:
    """What was asked for is what was opened and what is read back."""
    account = await opened(store, entity, KWD)
    assert (account.legal_entity, account.kind, account.currency) == (
        entity,
        AccountKind.MERCHANT,
        KWD,
    )
    assert account.create_time.tzinfo is not None
    nobody = AccountId(uuid.uuid4())
    assert await store.accounts([account.account_id, nobody]) == {account.account_id: account}


async def test_the_same_opening_again(store: Store, entity: str) -> None:
    """The same request gives the same account; other contents are refused; another caller's
    request ids are its own.
    """
    key, opening = request_id(), Opening(entity, AccountKind.MERCHANT, EUR)
    first = await store.open_account(PAYMENTS, key, opening)
    assert await store.open_account(PAYMENTS, key, opening) == first
    for other in (
        Opening(entity, AccountKind.MERCHANT, KWD),
        Opening(entity, AccountKind.CLEARING, EUR),
        Opening(entity + "x", AccountKind.MERCHANT, EUR),
    ):
        with pytest.raises(RequestIdReusedError):
            await store.open_account(PAYMENTS, key, other)
    assert await store.open_account(GATEWAY, key, opening) != first
    assert len(await store.balances(entity, None, 10)) == 2


async def test_one_clearing_account(store: Store, entity: str) -> None:
    """One for each legal entity and currency, whatever the request id; and a request that
    found it is remembered like one that opened it.
    """
    key = request_id()
    first = await opened(store, entity, kind=AccountKind.CLEARING)
    found = await store.open_account(PAYMENTS, key, Opening(entity, AccountKind.CLEARING, EUR))
    assert found == first
    with pytest.raises(RequestIdReusedError):
        await store.open_account(PAYMENTS, key, Opening(entity, AccountKind.CLEARING, KWD))
    assert await opened(store, entity, KWD, kind=AccountKind.CLEARING) != first


async def test_a_posting_becomes_entries(store: Store, entity: str) -> None:
    """A transfer of two currencies shows up in each of its accounts, with its reference."""
    euro, euro_too = await opened(store, entity), await opened(store, entity)
    dinar, dinar_too = await opened(store, entity, KWD), await opened(store, entity, KWD)
    asked = posting((euro, -5), (dinar, 1), (euro_too, 5), (dinar_too, -1))
    transfer = await store.post(PAYMENTS, request_id(), asked, entity)
    assert transfer.posting == asked
    for account, units in ((euro, -5), (euro_too, 5), (dinar, 1), (dinar_too, -1)):
        (entry,) = await store.entries(account, 0, 10)
        assert entry.amount == Money(account.currency, units)
        assert (entry.transfer_id, entry.reference) == (transfer.transfer_id, "order 17")
        assert entry.create_time == transfer.create_time
        balance = await store.balance(account)
        assert (balance.minor_units, balance.entry_count) == (units, 1)


async def test_a_replay_posts_nothing(store: Store, entity: str) -> None:
    """The same request gives the first transfer, its legs as first given; other contents are
    refused; another caller's request ids are its own.
    """
    one, two = await opened(store, entity), await opened(store, entity)
    key, asked = request_id(), posting((one, -5), (two, 5))
    first = await store.post(PAYMENTS, key, asked, entity)
    assert await store.post(PAYMENTS, key, asked, entity) == first
    assert await store.post(PAYMENTS, key, posting((two, 5), (one, -5)), entity) == first
    for other in (
        posting((one, -6), (two, 6)),
        posting((one, 5), (two, -5)),
        posting((one, -5), (two, 5), reference="order 18"),
    ):
        with pytest.raises(RequestIdReusedError):
            await store.post(PAYMENTS, key, other, entity)
    assert (await store.balance(two)).entry_count == 1
    await store.post(GATEWAY, key, asked, entity)
    assert (await store.balance(two)).entry_count == 2


async def test_an_account_without_entries(store: Store, entity: str) -> None:
    """Its balance is zero, of no entries."""
    account = await opened(store, entity)
    balance = await store.balance(account)
    assert (balance.account, balance.minor_units, balance.entry_count) == (account, 0, 0)
    assert await store.balances(entity, None, 10) == [balance]
    assert await store.entries(account, 0, 10) == []


async def test_pages_of_balances(store: Store, entity: str) -> None:
    """Pages of any size put together are all accounts of the legal entity, in order of id."""
    accounts = [await opened(store, entity) for _ in range(7)]
    await opened(store, entity + "-other")
    for size in (1, 2, 3, 7, 8):
        seen: list[AccountId] = []
        while True:
            page = await store.balances(entity, seen[-1] if seen else None, size)
            assert len(page) <= size
            if not page:
                break
            seen += [balance.account.account_id for balance in page]
        assert seen == sorted(account.account_id for account in accounts)


async def test_pages_of_entries(store: Store, entity: str) -> None:
    """Pages of any size put together are all entries of the account, oldest first."""
    one, two = await opened(store, entity), await opened(store, entity)
    for units in range(1, 8):
        await store.post(PAYMENTS, request_id(), posting((one, -units), (two, units)), entity)
    for size in (1, 2, 3, 7, 8):
        units_seen: list[int] = []
        after = 0
        while page := await store.entries(two, after, size):
            assert len(page) <= size
            units_seen += [entry.amount.minor_units for entry in page]
            after = page[-1].entry_id
        assert units_seen == [1, 2, 3, 4, 5, 6, 7]


async def test_balances_beyond_64_bits_are_kept_exactly(store: Store, entity: str) -> None:
    """Entries that add up to more than an int64 add up all the same."""
    one, two = await opened(store, entity), await opened(store, entity)
    for _ in range(2):
        legs = ((one, -LARGEST_MINOR_UNITS), (two, LARGEST_MINOR_UNITS))
        await store.post(PAYMENTS, request_id(), posting(*legs), entity)
    balances = await store.balances(entity, None, 10)
    assert {balance.account: balance.minor_units for balance in balances} == {
        one: -2 * LARGEST_MINOR_UNITS,
        two: 2 * LARGEST_MINOR_UNITS,
    }
    assert (await store.balance(two)).minor_units == 2 * LARGEST_MINOR_UNITS


async def test_every_currency_and_a_hundred_legs(store: Store, entity: str) -> None:
    """One transfer may have as many legs and currencies as a transfer may have."""
    currencies = sorted(CURRENCIES.values(), key=lambda currency: currency.code)[:50]
    legs: list[tuple[Account, int]] = []
    for place, currency in enumerate(currencies, start=1):
        legs.append((await opened(store, entity, currency), place))
        legs.append((await opened(store, entity, currency), -place))
    asked = posting(*legs, reference="ümlaut ✓ 'quoted' \\ %s")
    key = request_id()
    first = await store.post(PAYMENTS, key, asked, entity)
    assert await store.post(PAYMENTS, key, asked, entity) == first
    sums: Counter[str] = Counter()
    for balance in await store.balances(entity, None, 1000):
        sums[balance.account.currency.code] += balance.minor_units
    assert set(sums.values()) == {0}
    assert len(sums) == 50
