"""Pages over a real gRPC server: sizes, tokens, and what fits into a message."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from ledger_calls import (
    AUDITOR,
    PAYMENTS,
    opened,
    pair,
    refused,
)

from ledger.bootstrap import registration
from ledger.handlers import Ledger
from ledger.testing import MemoryStore
from meshkit.paging import encode_page_token
from meshkit.testing import FakeObjectPolicy, app_config, serving
from paymesh.ledger.v1 import ledger_pb2
from paymesh.ledger.v1.ledger_pb2_grpc import LedgerServiceStub

if TYPE_CHECKING:  # the class is in the generated stubs only
    from paymesh.ledger.v1.ledger_pb2_grpc import LedgerServiceAsyncStub


async def test_no_page_of_somebody_elses_account(stub: LedgerServiceAsyncStub) -> None:
    """A page token that somebody else got opens nothing."""
    one, two = await opened(stub, "globex"), await opened(stub, "globex")
    for units in (1, 2):
        await stub.PostTransfer(pair(one, two, units), metadata=PAYMENTS)
    request = ledger_pb2.ListEntriesRequest(account_id=one.account_id, page_size=1)
    request.page_token = (await stub.ListEntries(request, metadata=PAYMENTS)).next_page_token
    assert request.page_token
    assert await refused(stub.ListEntries(request, metadata=AUDITOR)) == (
        grpc.StatusCode.NOT_FOUND,
        "ACCOUNT_NOT_FOUND",
    )


async def test_pages(stub: LedgerServiceAsyncStub) -> None:
    """Pages of any size put together are the whole, and the last has no token."""
    accounts = [await opened(stub) for _ in range(5)]
    for units in range(1, 8):
        await stub.PostTransfer(pair(accounts[0], accounts[1], units), metadata=PAYMENTS)
    for size in (1, 2, 5, 7, 8, 0, 2000, 2**31 - 1):
        units_seen: list[int] = []
        entries = ledger_pb2.ListEntriesRequest(account_id=accounts[1].account_id, page_size=size)
        while True:
            answer = await stub.ListEntries(entries, metadata=PAYMENTS)
            assert len(answer.entries) == min(size or 7, 7 - len(units_seen))
            units_seen += [entry.amount.minor_units for entry in answer.entries]
            if not answer.next_page_token:
                break
            entries.page_token = answer.next_page_token
        assert units_seen == [1, 2, 3, 4, 5, 6, 7]
        ids: list[str] = []
        balances = ledger_pb2.ListBalancesRequest(legal_entity="acme", page_size=size)
        while True:
            page = await stub.ListBalances(balances, metadata=PAYMENTS)
            ids += [balance.account.account_id for balance in page.balances]
            if not page.next_page_token:
                break
            balances.page_token = page.next_page_token
        assert ids == sorted(account.account_id for account in accounts)


async def test_page_tokens_that_are_refused(stub: LedgerServiceAsyncStub) -> None:
    """Garbage, another query's token and a made-up cursor are INVALID_PAGE_TOKEN."""
    one, two = await opened(stub), await opened(stub)
    for units in (1, 2):
        await stub.PostTransfer(pair(one, two, units), metadata=PAYMENTS)
    request = ledger_pb2.ListEntriesRequest(account_id=one.account_id, page_size=1)
    token = (await stub.ListEntries(request, metadata=PAYMENTS)).next_page_token
    query = ("ListEntries", one.account_id)
    made_up = [
        encode_page_token((cursor,), query)
        for cursor in ("", "x", "-1", "1.0", " 1", "²", "9" * 19, "9" * 30)
    ]
    expected = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
    for bad in ("garbage", "AA==", token + "x", *made_up):
        request.page_token = bad
        assert await refused(stub.ListEntries(request, metadata=PAYMENTS)) == expected, bad
    request.account_id, request.page_token = two.account_id, token
    assert await refused(stub.ListEntries(request, metadata=PAYMENTS)) == expected
    balances = ledger_pb2.ListBalancesRequest(legal_entity="acme")
    for bad in (token, encode_page_token(("no uuid",), ("ListBalances", "acme"))):
        balances.page_token = bad
        assert await refused(stub.ListBalances(balances, metadata=PAYMENTS)) == expected


async def test_a_negative_page_size(stub: LedgerServiceAsyncStub) -> None:
    """It is refused, not understood as something else."""
    request = ledger_pb2.ListBalancesRequest(legal_entity="acme", page_size=-1)
    assert await refused(stub.ListBalances(request, metadata=PAYMENTS)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    )


async def test_pages_fit_into_a_message(tmp_path: Path) -> None:
    """A page is cut where it would exceed the largest message; put together nothing is missing."""
    config = app_config(tmp_path, max_message_bytes=4096)
    ledger = Ledger(store=MemoryStore(), policy=FakeObjectPolicy.allow_all())
    sizes: list[int] = []

    async with serving([registration(ledger, config)], config) as channel:
        stub = LedgerServiceStub(channel)
        one, two = await opened(stub), await opened(stub)
        for units in range(1, 31):
            await stub.PostTransfer(pair(one, two, units, "€" * 140), metadata=PAYMENTS)
        units_seen: list[int] = []
        request = ledger_pb2.ListEntriesRequest(account_id=two.account_id, page_size=1000)
        while True:
            answer = await stub.ListEntries(request, metadata=PAYMENTS)
            sizes.append(answer.ByteSize())
            units_seen += [entry.amount.minor_units for entry in answer.entries]
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
    assert units_seen == list(range(1, 31))
    assert max(sizes) <= 4096
    assert len(sizes) < 15
