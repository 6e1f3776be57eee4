"""What the other services' answers mean to payments, over a real gRPC server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

import payments.rpc
from meshkit.errors import UpstreamError
from meshkit.money import Money
from payments.errors import LedgerUnavailableError, ProviderUnavailableError
from payments.ledger_client import GrpcLedger, clearing_request_id
from payments.links_client import GrpcLinks
from payments.ports import Link, MerchantAccount, Transfer
from paymesh.bank_link.v1 import bank_link_pb2, bank_link_pb2_grpc
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc

# The methods' names and arguments are gRPC's.
# ruff: noqa: N802

ACCOUNT = uuid.uuid4()
Refusal = tuple[grpc.StatusCode, str]
PASSING = [
    (grpc.StatusCode.UNAVAILABLE, "POLICY_ENGINE_UNAVAILABLE"),
    (grpc.StatusCode.ABORTED, "DATABASE_CONFLICT"),
]
LASTING = [
    (grpc.StatusCode.PERMISSION_DENIED, "RPC_NOT_GRANTED"),
    (grpc.StatusCode.INTERNAL, "INTERNAL"),
    (grpc.StatusCode.FAILED_PRECONDITION, "CROSS_ENTITY_TRANSFER"),
    (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    (grpc.StatusCode.UNKNOWN, ""),
]
USERS = [
    (grpc.StatusCode.UNAUTHENTICATED, "USER_TOKEN_EXPIRED"),
    (grpc.StatusCode.PERMISSION_DENIED, "USER_ROLE_MISSING"),
]
NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")


class Scripted(ledger_pb2_grpc.LedgerServiceServicer, bank_link_pb2_grpc.BankLinkServiceServicer):
    """Refuses as the script says, then answers."""

    def __init__(self) -> None:
        self.script: list[Refusal] = []
        self.requests: list[Any] = []

    async def GetBalance(self, request: Any, context: Any) -> Any:
        """A merchant's account in EUR."""
        await self._play(request, context)
        account = ledger_pb2.Account(
            legal_entity="acme", kind=ledger_pb2.ACCOUNT_KIND_MERCHANT, currency_code="EUR"
        )
        return ledger_pb2.GetBalanceResponse(balance=ledger_pb2.Balance(account=account))

    async def OpenAccount(self, request: Any, context: Any) -> Any:
        """An account."""
        await self._play(request, context)
        return ledger_pb2.OpenAccountResponse(account=ledger_pb2.Account(account_id=str(ACCOUNT)))

    async def PostTransfer(self, request: Any, context: Any) -> Any:
        """A transfer."""
        await self._play(request, context)
        transfer = ledger_pb2.Transfer(transfer_id=str(ACCOUNT))
        return ledger_pb2.PostTransferResponse(transfer=transfer)

    async def GetLink(self, request: Any, context: Any) -> Any:
        """A link that is being verified."""
        await self._play(request, context)
        link = bank_link_pb2.Link(owner="alice", state=bank_link_pb2.LINK_STATE_PENDING)
        return bank_link_pb2.GetLinkResponse(link=link)

    async def _play(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        if not self.script:
            return
        code, reason = self.script.pop(0)
        status = status_pb2.Status(code=code.value[0])
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason))
        await context.abort(code, "no", (("grpc-status-details-bin", status.SerializeToString()),))


class Peers:
    """The clients and the script of what they talk to."""

    def __init__(self, channel: grpc.aio.Channel, scripted: Scripted) -> None:
        self.ledger = GrpcLedger(channel)
        self.links = GrpcLinks(channel)
        self.scripted = scripted


@pytest.fixture
async def peers(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Peers]:
    """Clients of a server on a socket, without pauses."""
    monkeypatch.setattr(payments.rpc, "_PAUSE_SECONDS", 0.0)
    scripted = Scripted()
    server = grpc.aio.server()
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server(scripted, server)
    bank_link_pb2_grpc.add_BankLinkServiceServicer_to_server(scripted, server)
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
        yield Peers(channel, scripted)
    await server.stop(None)


def _transfer() -> Transfer:
    return Transfer(
        request_id=uuid.uuid4(),
        debit_account_id=uuid.uuid4(),
        credit_account_id=uuid.uuid4(),
        amount=Money.of("EUR", 1250),
        reference="payment x",
    )


async def test_transfer_debits_and_credits_what_it_says(peers: Peers) -> None:
    """The legs sum to zero: the debit is negative, as the ledger wants it."""
    transfer = _transfer()
    assert await peers.ledger.post(transfer) == ACCOUNT
    (request,) = peers.scripted.requests
    assert [(leg.account_id, leg.amount.minor_units) for leg in request.legs] == [
        (str(transfer.debit_account_id), -1250),
        (str(transfer.credit_account_id), 1250),
    ]
    assert request.request_id == str(transfer.request_id)


@pytest.mark.parametrize("refusal", PASSING)
async def test_what_passes_is_tried_again(peers: Peers, refusal: Refusal) -> None:
    """Two refusals that pass are got over, with the same request; the third is the answer."""
    peers.scripted.script = [refusal] * 2
    assert await peers.ledger.post(_transfer()) == ACCOUNT
    assert len({request.SerializeToString() for request in peers.scripted.requests}) == 1
    peers.scripted.script = [refusal] * 3
    with pytest.raises(LedgerUnavailableError):
        await peers.ledger.account(ACCOUNT)
    assert len(peers.scripted.requests) == 6


@pytest.mark.parametrize("refusal", [*LASTING, *USERS, NOT_FOUND])
async def test_posting_is_never_given_up(peers: Peers, refusal: Refusal) -> None:
    """Whatever the ledger refuses a posting with, the payment stays open: money has moved."""
    peers.scripted.script = [refusal]
    with pytest.raises(LedgerUnavailableError):
        await peers.ledger.post(_transfer())
    assert len(peers.scripted.requests) == 1


@pytest.mark.parametrize("refusal", LASTING)
async def test_refusal_of_the_service_is_not_the_users_fault(
    peers: Peers, refusal: Refusal
) -> None:
    """What the mesh refuses payments is said to be unavailable, and not tried again."""
    peers.scripted.script = [refusal] * 3
    with pytest.raises(LedgerUnavailableError):
        await peers.ledger.account(ACCOUNT)
    with pytest.raises(LedgerUnavailableError):
        await peers.ledger.clearing_account("acme", "EUR")
    with pytest.raises(ProviderUnavailableError):
        await peers.links.link(ACCOUNT)
    assert len(peers.scripted.requests) == 3


@pytest.mark.parametrize("refusal", USERS)
async def test_refusal_of_the_user_goes_through(peers: Peers, refusal: Refusal) -> None:
    """A token that has expired on the way is said to have expired."""
    for call in (
        peers.ledger.account(ACCOUNT),
        peers.ledger.clearing_account("acme", "EUR"),
        peers.links.link(ACCOUNT),
    ):
        peers.scripted.script = [refusal]
        with pytest.raises(UpstreamError) as raised:
            await call
        assert (raised.value.code, raised.value.reason) == refusal


async def test_what_is_not_there_is_none(peers: Peers) -> None:
    """NOT_FOUND is an answer."""
    peers.scripted.script = [NOT_FOUND] * 2
    assert await peers.ledger.account(ACCOUNT) is None
    assert await peers.links.link(ACCOUNT) is None


async def test_answers_are_read(peers: Peers) -> None:
    """Accounts and links are what the replies say."""
    assert await peers.ledger.account(ACCOUNT) == MerchantAccount(
        "acme", is_merchant=True, currency_code="EUR"
    )
    assert await peers.links.link(ACCOUNT) == Link("alice", "PENDING")


async def test_clearing_account_is_asked_for_once(peers: Peers) -> None:
    """Each legal entity and currency has one request id, and a process asks once."""
    assert await peers.ledger.clearing_account("acme", "EUR") == ACCOUNT
    await peers.ledger.clearing_account("acme", "EUR")
    await peers.ledger.clearing_account("acme", "USD")
    await peers.ledger.clearing_account("globex", "EUR")
    ids = [request.request_id for request in peers.scripted.requests]
    assert ids == [
        str(clearing_request_id(*pair))
        for pair in (("acme", "EUR"), ("acme", "USD"), ("globex", "EUR"))
    ]
    assert len(set(ids)) == 3
    assert all(
        request.kind == ledger_pb2.ACCOUNT_KIND_CLEARING for request in peers.scripted.requests
    )
