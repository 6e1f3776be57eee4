"""paymesh.ledger.v1 over the use cases: messages to domain and back, nothing else.

The rules of protos/paymesh/ledger/v1/ledger.proto have been checked by
meshkit's interceptor when a method here runs.
"""

# ruff: noqa: N802  # gRPC names the methods

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ledger.domain import (
    Account,
    AccountId,
    AccountKind,
    Balance,
    Entry,
    Leg,
    Opening,
    Posting,
    RequestId,
    Transfer,
)
from ledger.errors import InvalidTransferError
from ledger.handlers import Ledger
from meshkit import context
from meshkit.cards import contains_card_number
from meshkit.money import Currency, Money
from meshkit.paging import InvalidPageToken, decode_page_token, encode_page_token, page_size
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000

_LARGEST_ENTRY_ID = 2**63 - 1
# A repeated message costs its tag and its length besides itself; 5 bytes are
# enough up to 256 MiB. The rest is for the page token.
_ITEM_OVERHEAD_BYTES = 5
_PAGE_OVERHEAD_BYTES = 512

_Item = TypeVar("_Item", bound=Message)
_GrpcContext = Any  # grpc.aio's, or a stand-in; not used here


class LedgerServicer(ledger_pb2_grpc.LedgerServiceServicer):
    """The gRPC side of `Ledger`.

    `max_message_bytes` bounds the pages: callers take no larger message.
    """

    def __init__(self, ledger: Ledger, *, max_message_bytes: int) -> None:
        self._ledger = ledger
        self._max_page_bytes = max_message_bytes - _PAGE_OVERHEAD_BYTES

    async def OpenAccount(
        self, request: ledger_pb2.OpenAccountRequest, _context: _GrpcContext
    ) -> ledger_pb2.OpenAccountResponse:
        """See the proto."""
        opening = Opening(
            legal_entity=request.legal_entity,
            kind=AccountKind(ledger_pb2.AccountKind.Name(request.kind)),
            currency=Currency.parse(request.currency_code),
        )
        account = await self._ledger.open_account(
            context.current().caller, RequestId(uuid.UUID(request.request_id)), opening
        )
        return ledger_pb2.OpenAccountResponse(account=_account_message(account))

    async def PostTransfer(
        self, request: ledger_pb2.PostTransferRequest, _context: _GrpcContext
    ) -> ledger_pb2.PostTransferResponse:
        """See the proto."""
        # Nothing can be deleted from the ledger: a card number must not get in.
        if contains_card_number(request.reference):
            raise InvalidTransferError("reference", "It holds a card number.")
        posting = Posting(
            legs=tuple(
                Leg(_account_id(leg.account_id), Money.from_proto(leg.amount))
                for leg in request.legs
            ),
            reference=request.reference,
        )
        transfer = await self._ledger.post_transfer(
            context.current().caller, RequestId(uuid.UUID(request.request_id)), posting
        )
        return ledger_pb2.PostTransferResponse(transfer=_transfer_message(transfer))

    async def GetBalance(
        self, request: ledger_pb2.GetBalanceRequest, _context: _GrpcContext
    ) -> ledger_pb2.GetBalanceResponse:
        """See the proto."""
        balance = await self._ledger.balance(_account_id(request.account_id))
        return ledger_pb2.GetBalanceResponse(balance=_balance_message(balance))

    async def ListBalances(
        self, request: ledger_pb2.ListBalancesRequest, _context: _GrpcContext
    ) -> ledger_pb2.ListBalancesResponse:
        """See the proto."""
        query = ("ListBalances", request.legal_entity)
        size = page_size(request.page_size, default=DEFAULT_PAGE_SIZE, maximum=MAX_PAGE_SIZE)
        balances = await self._ledger.balances(
            request.legal_entity, _account_cursor(request.page_token, query), size + 1
        )
        page = self._page((_balance_message(balance) for balance in balances), size)
        more = len(page) < len(balances)
        return ledger_pb2.ListBalancesResponse(
            balances=page,
            next_page_token=encode_page_token((page[-1].account.account_id,), query)
            if more
            else "",
        )

    async def ListEntries(
        self, request: ledger_pb2.ListEntriesRequest, _context: _GrpcContext
    ) -> ledger_pb2.ListEntriesResponse:
        """See the proto."""
        account_id = _account_id(request.account_id)
        query = ("ListEntries", str(account_id))
        size = page_size(request.page_size, default=DEFAULT_PAGE_SIZE, maximum=MAX_PAGE_SIZE)
        entries = await self._ledger.entries(
            account_id, _entry_cursor(request.page_token, query), size + 1
        )
        page = self._page((_entry_message(entry) for entry in entries), size)
        more = len(page) < len(entries)
        return ledger_pb2.ListEntriesResponse(
            entries=page,
            next_page_token=encode_page_token((str(page[-1].entry_id),), query) if more else "",
        )

    def _page(self, items: Iterable[_Item], size: int) -> Sequence[_Item]:
        """As many of the items as a page takes, by number and by bytes, but at least one."""
        page: list[_Item] = []
        free_bytes = self._max_page_bytes
        for item in items:
            free_bytes -= item.ByteSize() + _ITEM_OVERHEAD_BYTES
            if len(page) == size or (page and free_bytes < 0):
                break
            page.append(item)
        return page


def _account_id(text: str) -> AccountId:
    return AccountId(uuid.UUID(text))


def _account_cursor(token: str, query: Sequence[str]) -> AccountId | None:
    """The account after which the page begins; anybody can make a token, so it is parsed."""
    cursor = decode_page_token(token, query, length=1)
    if cursor is None:
        return None
    try:
        return _account_id(cursor[0])
    except ValueError:
        raise InvalidPageToken from None


def _entry_cursor(token: str, query: Sequence[str]) -> int:
    """The entry after which the page begins, 0 for the first."""
    cursor = decode_page_token(token, query, length=1)
    if cursor is None:
        return 0
    text = cursor[0]
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_ENTRY_ID))):
        raise InvalidPageToken
    entry_id = int(text)
    if entry_id > _LARGEST_ENTRY_ID:
        raise InvalidPageToken
    return entry_id


def _timestamp(moment: dt.datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _account_message(account: Account) -> ledger_pb2.Account:
    return ledger_pb2.Account(
        account_id=str(account.account_id),
        legal_entity=account.legal_entity,
        kind=ledger_pb2.AccountKind.Value(account.kind.value),
        currency_code=account.currency.code,
        create_time=_timestamp(account.create_time),
    )


def _transfer_message(transfer: Transfer) -> ledger_pb2.Transfer:
    return ledger_pb2.Transfer(
        transfer_id=str(transfer.transfer_id),
        legs=[
            ledger_pb2.Leg(account_id=str(leg.account_id), amount=leg.amount.to_proto())
            for leg in transfer.posting.legs
        ],
        reference=transfer.posting.reference,
        create_time=_timestamp(transfer.create_time),
    )


def _balance_message(balance: Balance) -> ledger_pb2.Balance:
    return ledger_pb2.Balance(
        account=_account_message(balance.account),
        amount=balance.amount().to_proto(),
        entry_count=balance.entry_count,
    )


def _entry_message(entry: Entry) -> ledger_pb2.Entry:
    return ledger_pb2.Entry(
        entry_id=entry.entry_id,
        transfer_id=str(entry.transfer_id),
        amount=entry.amount.to_proto(),
        reference=entry.reference,
        create_time=_timestamp(entry.create_time),
    )
