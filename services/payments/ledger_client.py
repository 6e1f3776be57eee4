"""The ledger, over gRPC through the sidecar."""

from __future__ import annotations

import uuid

import grpc

from meshkit.errors import UpstreamError
from meshkit.logging import get_logger
from payments import rpc
from payments.errors import LedgerUnavailableError
from payments.ports import MerchantAccount, Transfer
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc

_NAMESPACE = uuid.UUID("c1a7d1d2-3c57-5f6e-8a53-0e9f3f7a5b21")
_MOST_CACHED = 4096
_log = get_logger(__name__)


def clearing_request_id(legal_entity: str, currency_code: str) -> uuid.UUID:
    """The request id with which the one clearing account is opened, by whomever and whenever."""
    return uuid.uuid5(_NAMESPACE, f"clearing/{legal_entity}/{currency_code}")


class GrpcLedger:
    """`ports.Ledger` over a channel of meshkit.channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        # Accounts are for ever, so what was opened once need not be asked for again.
        self._clearing: dict[tuple[str, str], uuid.UUID] = {}

    async def account(self, account_id: uuid.UUID) -> MerchantAccount | None:
        """See ports.Ledger. An UpstreamError about the end user's token goes through."""
        request = ledger_pb2.GetBalanceRequest(account_id=str(account_id))
        try:
            reply = await rpc.call(self._stub.GetBalance, request)
        except UpstreamError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                return None
            if rpc.is_about_user(error):
                raise
            raise _unavailable("GetBalance", error) from error
        account = reply.balance.account
        return MerchantAccount(
            legal_entity=account.legal_entity,
            is_merchant=account.kind == ledger_pb2.ACCOUNT_KIND_MERCHANT,
            currency_code=account.currency_code,
        )

    async def clearing_account(self, legal_entity: str, currency_code: str) -> uuid.UUID:
        """See ports.Ledger."""
        known = self._clearing.get((legal_entity, currency_code))
        if known is not None:
            return known
        request = ledger_pb2.OpenAccountRequest(
            request_id=str(clearing_request_id(legal_entity, currency_code)),
            legal_entity=legal_entity,
            kind=ledger_pb2.ACCOUNT_KIND_CLEARING,
            currency_code=currency_code,
        )
        try:
            reply = await rpc.call(self._stub.OpenAccount, request)
        except UpstreamError as error:
            if rpc.is_about_user(error):
                raise
            raise _unavailable("OpenAccount", error) from error
        opened = uuid.UUID(reply.account.account_id)
        if len(self._clearing) >= _MOST_CACHED:
            self._clearing.clear()
        self._clearing[legal_entity, currency_code] = opened
        return opened

    async def post(self, transfer: Transfer) -> uuid.UUID:
        """See ports.Ledger.

        Whatever the ledger refuses with: the money has moved at the provider,
        so there is no giving up. The operation stays open and the log says why.
        """
        amount = transfer.amount
        request = ledger_pb2.PostTransferRequest(
            request_id=str(transfer.request_id),
            legs=[
                ledger_pb2.Leg(
                    account_id=str(transfer.debit_account_id), amount=(-amount).to_proto()
                ),
                ledger_pb2.Leg(
                    account_id=str(transfer.credit_account_id), amount=amount.to_proto()
                ),
            ],
            reference=transfer.reference,
        )
        try:
            reply = await rpc.call(self._stub.PostTransfer, request)
        except UpstreamError as error:
            raise _unavailable("PostTransfer", error) from error
        return uuid.UUID(reply.transfer.transfer_id)


def _unavailable(method: str, error: UpstreamError) -> LedgerUnavailableError:
    passing = error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    write = _log.warning if passing else _log.error
    write("ledger refused", rpc=method, code=error.code.name, reason=error.reason)
    return LedgerUnavailableError()
