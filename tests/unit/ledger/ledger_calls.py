"""Requests to the ledger's API, and what became of them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from meshkit.context import User
from meshkit.errors import from_rpc
from meshkit.testing import headers
from paymesh.ledger.v1 import ledger_pb2
from paymesh.money.v1 import money_pb2

if TYPE_CHECKING:  # the class is in the generated stubs only
    from paymesh.ledger.v1.ledger_pb2_grpc import LedgerServiceAsyncStub

PAYMENTS = headers("payments")
AUDITOR = headers("gateway", User("audrey", "acme", frozenset({"auditor"})))
MERCHANT = ledger_pb2.ACCOUNT_KIND_MERCHANT
CLEARING = ledger_pb2.ACCOUNT_KIND_CLEARING


def request_id() -> str:
    """A fresh one."""
    return str(uuid.uuid4())


async def opened(
    stub: LedgerServiceAsyncStub,
    legal_entity: str = "acme",
    currency_code: str = "EUR",
    kind: ledger_pb2.AccountKind = MERCHANT,
) -> ledger_pb2.Account:
    """A new account."""
    request = ledger_pb2.OpenAccountRequest(
        request_id=request_id(), legal_entity=legal_entity, kind=kind, currency_code=currency_code
    )
    return (await stub.OpenAccount(request, metadata=PAYMENTS)).account


def transfer(
    *legs: tuple[str, str, int], reference: str = "", key: str | None = None
) -> ledger_pb2.PostTransferRequest:
    """A request with legs of (account id, currency, minor units)."""
    return ledger_pb2.PostTransferRequest(
        request_id=key or request_id(),
        legs=[
            ledger_pb2.Leg(
                account_id=account_id,
                amount=money_pb2.Money(currency_code=code, minor_units=units),
            )
            for account_id, code, units in legs
        ],
        reference=reference,
    )


def pair(one: ledger_pb2.Account, two: ledger_pb2.Account, units: int, reference: str = ""):
    """A request that moves euros from the first account to the second."""
    return transfer(
        (one.account_id, "EUR", -units), (two.account_id, "EUR", units), reference=reference
    )


async def refused(call) -> tuple[grpc.StatusCode, str]:
    """The status and the reason with which a call is refused; the domain is the trust domain."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    (details,) = (
        value
        for key, value in raised.value.trailing_metadata() or ()
        if key == "grpc-status-details-bin"
    )
    status = status_pb2.Status.FromString(details)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "paymesh.internal"
    return raised.value.code(), from_rpc(raised.value).reason
