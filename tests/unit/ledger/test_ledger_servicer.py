"""The API over a real gRPC server on a Unix socket: statuses, reasons, pages."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import grpc
import pytest
from ledger_calls import (
    AUDITOR,
    CLEARING,
    MERCHANT,
    PAYMENTS,
    opened,
    pair,
    refused,
    request_id,
    transfer,
)

from meshkit.errors import from_rpc
from paymesh.ledger.v1 import ledger_pb2
from paymesh.money.v1 import money_pb2

if TYPE_CHECKING:  # the class is in the generated stubs only
    from paymesh.ledger.v1.ledger_pb2_grpc import LedgerServiceAsyncStub


async def test_open_post_and_read(stub: LedgerServiceAsyncStub) -> None:
    """An account opened, a transfer posted: balance, entries and list of balances agree."""
    clearing = await opened(stub, kind=CLEARING)
    merchant = await opened(stub)
    assert clearing.kind == CLEARING
    assert (merchant.legal_entity, merchant.kind, merchant.currency_code) == (
        "acme",
        MERCHANT,
        "EUR",
    )
    request = pair(clearing, merchant, 1250, "order 17")
    answer = await stub.PostTransfer(request, metadata=PAYMENTS)
    assert list(answer.transfer.legs) == list(request.legs)
    assert answer.transfer.reference == "order 17"
    balance = await stub.GetBalance(
        ledger_pb2.GetBalanceRequest(account_id=merchant.account_id), metadata=AUDITOR
    )
    assert balance.balance == ledger_pb2.Balance(
        account=merchant,
        amount=money_pb2.Money(currency_code="EUR", minor_units=1250),
        entry_count=1,
    )
    entries = await stub.ListEntries(
        ledger_pb2.ListEntriesRequest(account_id=merchant.account_id), metadata=AUDITOR
    )
    (entry,) = entries.entries
    assert entry.transfer_id == answer.transfer.transfer_id
    assert (entry.amount.minor_units, entry.reference) == (1250, "order 17")
    assert entry.create_time == answer.transfer.create_time
    assert entries.next_page_token == ""
    balances = await stub.ListBalances(
        ledger_pb2.ListBalancesRequest(legal_entity="acme"), metadata=AUDITOR
    )
    assert {
        balance.account.account_id: balance.amount.minor_units for balance in balances.balances
    } == {clearing.account_id: -1250, merchant.account_id: 1250}


async def test_the_same_request_again(stub: LedgerServiceAsyncStub) -> None:
    """A replay gives the first answer byte for byte; other contents are REQUEST_ID_REUSED."""
    one, two = await opened(stub), await opened(stub)
    request = pair(one, two, 5)
    first = await stub.PostTransfer(request, metadata=PAYMENTS)
    assert await stub.PostTransfer(request, metadata=PAYMENTS) == first
    request.reference = "other"
    assert await refused(stub.PostTransfer(request, metadata=PAYMENTS)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
    )
    opening = ledger_pb2.OpenAccountRequest(
        request_id=request_id(), legal_entity="acme", kind=MERCHANT, currency_code="EUR"
    )
    account = await stub.OpenAccount(opening, metadata=PAYMENTS)
    assert await stub.OpenAccount(opening, metadata=PAYMENTS) == account
    opening.currency_code = "USD"
    assert await refused(stub.OpenAccount(opening, metadata=PAYMENTS)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
    )


async def test_transfers_that_are_refused(stub: LedgerServiceAsyncStub) -> None:
    """Each way to get a transfer wrong has its status and reason, and nothing is posted."""
    one, two, usd = (
        (await opened(stub)).account_id,
        (await opened(stub)).account_id,
        (await opened(stub, currency_code="USD")).account_id,
    )
    foreign = (await opened(stub, legal_entity="globex")).account_id
    nobody = str(uuid.uuid4())
    invalid, eur = grpc.StatusCode.INVALID_ARGUMENT, "EUR"
    cases = [
        (((one, eur, 5), (two, eur, -4)), invalid, "UNBALANCED_TRANSFER"),
        (((one, eur, 5), (usd, "USD", -5)), invalid, "UNBALANCED_TRANSFER"),
        (((one, "XXX", 5), (two, "XXX", -5)), invalid, "UNKNOWN_CURRENCY"),
        (((one, eur, 5), (usd, eur, -5)), invalid, "CURRENCY_MISMATCH"),
        (((one, eur, 5), (one, eur, -5)), invalid, "DUPLICATE_ACCOUNT"),
        (((one, eur, 5), (one.upper(), eur, -5)), invalid, "DUPLICATE_ACCOUNT"),
        (((one, eur, 0), (two, eur, 0)), invalid, "ZERO_LEG"),
        (((one, eur, -(2**63)), (two, eur, 2**63 - 1)), invalid, "AMOUNT_OUT_OF_RANGE"),
        (((one, eur, 5),), invalid, "INVALID_REQUEST"),
        (((one, eur, 5), ("no uuid", eur, -5)), invalid, "INVALID_REQUEST"),
        (((one, "eur", 5), (two, "eur", -5)), invalid, "INVALID_REQUEST"),
        (((one, eur, 5), (nobody, eur, -5)), grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND"),
        (
            ((one, eur, 5), (foreign, eur, -5)),
            grpc.StatusCode.FAILED_PRECONDITION,
            "CROSS_ENTITY_TRANSFER",
        ),
    ]
    for legs, code, reason in cases:
        call = stub.PostTransfer(transfer(*legs), metadata=PAYMENTS)
        assert await refused(call) == (code, reason), legs
    for reference in ("x" * 141, "paid with 4111 1111 1111 1111", "a\0b"):
        request = transfer((one, eur, 5), (two, eur, -5), reference=reference)
        call = stub.PostTransfer(request, metadata=PAYMENTS)
        assert await refused(call) == (invalid, "INVALID_REQUEST"), reference
    balances = await stub.ListBalances(
        ledger_pb2.ListBalancesRequest(legal_entity="acme"), metadata=PAYMENTS
    )
    assert [balance.entry_count for balance in balances.balances] == [0, 0, 0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"currency_code": "XXX"}, "UNKNOWN_CURRENCY"),
        ({"currency_code": "eur"}, "INVALID_REQUEST"),
        ({"kind": ledger_pb2.ACCOUNT_KIND_UNSPECIFIED}, "INVALID_REQUEST"),
        ({"kind": 7}, "INVALID_REQUEST"),
        ({"legal_entity": "Acme"}, "INVALID_REQUEST"),
        ({"legal_entity": ""}, "INVALID_REQUEST"),
        ({"legal_entity": "acme\n"}, "INVALID_REQUEST"),
        ({"request_id": ""}, "INVALID_REQUEST"),
        ({"request_id": "17"}, "INVALID_REQUEST"),
    ],
)
async def test_accounts_that_are_refused(
    stub: LedgerServiceAsyncStub, changes: dict[str, object], reason: str
) -> None:
    """Each field of an opening is checked."""
    fields: dict[str, object] = {
        "request_id": request_id(),
        "legal_entity": "acme",
        "kind": MERCHANT,
        "currency_code": "EUR",
    }
    request = ledger_pb2.OpenAccountRequest(**(fields | changes))
    assert await refused(stub.OpenAccount(request, metadata=PAYMENTS)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        reason,
    )


async def test_somebody_elses_account(stub: LedgerServiceAsyncStub) -> None:
    """Another tenant's account and no account get the same answer, to the letter; a whole legal
    entity is PERMISSION_DENIED.
    """
    foreign = await opened(stub, legal_entity="globex")
    answers = []
    for account_id in (foreign.account_id, str(uuid.uuid4())):
        for call in (
            stub.GetBalance(ledger_pb2.GetBalanceRequest(account_id=account_id), metadata=AUDITOR),
            stub.ListEntries(
                ledger_pb2.ListEntriesRequest(account_id=account_id), metadata=AUDITOR
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call
            error = from_rpc(raised.value)
            answers.append((error.code, error.reason, error.message, set(error.metadata)))
    assert (
        answers
        == [
            (
                grpc.StatusCode.NOT_FOUND,
                "ACCOUNT_NOT_FOUND",
                "There is no such account.",
                {"account_id"},
            )
        ]
        * 4
    )
    denied = (grpc.StatusCode.PERMISSION_DENIED, "OBJECT_DENIED")
    balances = ledger_pb2.ListBalancesRequest(legal_entity="globex")
    assert await refused(stub.ListBalances(balances, metadata=AUDITOR)) == denied
    opening = ledger_pb2.OpenAccountRequest(
        request_id=request_id(), legal_entity="globex", kind=MERCHANT, currency_code="EUR"
    )
    assert await refused(stub.OpenAccount(opening, metadata=AUDITOR)) == denied


async def test_a_balance_beyond_64_bits(stub: LedgerServiceAsyncStub) -> None:
    """It is said to be so instead of wrapping around; the entries can still be listed."""
    one, two = await opened(stub), await opened(stub)
    for _ in range(2):
        await stub.PostTransfer(pair(one, two, 2**63 - 1), metadata=PAYMENTS)
    balance = ledger_pb2.GetBalanceRequest(account_id=two.account_id)
    assert await refused(stub.GetBalance(balance, metadata=PAYMENTS)) == (
        grpc.StatusCode.OUT_OF_RANGE,
        "BALANCE_OUT_OF_RANGE",
    )
    entries = ledger_pb2.ListEntriesRequest(account_id=two.account_id)
    assert len((await stub.ListEntries(entries, metadata=PAYMENTS)).entries) == 2


async def test_without_the_sidecars_headers(stub: LedgerServiceAsyncStub) -> None:
    """A call that did not come through the sidecar is refused before anything is done."""
    request = ledger_pb2.ListBalancesRequest(legal_entity="acme")
    assert await refused(stub.ListBalances(request)) == (
        grpc.StatusCode.INTERNAL,
        "NOT_THROUGH_SIDECAR",
    )
