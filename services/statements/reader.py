"""Reads accounts, balances and entries from the ledger's API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import grpc

from meshkit.money import Currency
from paymesh.ledger.v1 import ledger_pb2
from paymesh.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from statements.statement import ClosingBalance, Line, Statement, statement_of

CALL_TIMEOUT_SECONDS = 10.0
PAGE_SIZE = 500
# How often an account is read again because transfers were posted to it meanwhile.
MAX_READINGS = 5


class LedgerReader:
    """A legal entity's statements, one account after the other.

    Every method raises grpc.RpcError as the call that failed did.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = LedgerServiceStub(channel)

    def statements(
        self, legal_entity: str, since: dt.datetime | None = None
    ) -> Iterator[Statement]:
        """The statements of all accounts in order of account id."""
        request = ledger_pb2.ListBalancesRequest(legal_entity=legal_entity, page_size=PAGE_SIZE)
        while True:
            page = self._stub.ListBalances(request, timeout=CALL_TIMEOUT_SECONDS)
            for balance in page.balances:
                yield self._statement(balance, since)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _statement(self, balance: ledger_pb2.Balance, since: dt.datetime | None) -> Statement:
        """Reads the entries until none was posted between the balance before and the one after.

        The ledger only appends: the same number of entries before and after
        means the same entries, and all of them have been seen.
        """
        account = balance.account
        before = _closing(balance)
        settled = False
        for _ in range(MAX_READINGS):
            entries = list(self._entries(account.account_id))
            after = self._balance(account.account_id)
            settled = before.entry_count == after.entry_count
            if settled:
                break
            before = after
        return statement_of(
            account.account_id,
            ledger_pb2.AccountKind.Name(account.kind).removeprefix("ACCOUNT_KIND_"),
            Currency.parse(account.currency_code),
            entries,
            after,
            settled=settled,
            since=since,
        )

    def _balance(self, account_id: str) -> ClosingBalance:
        request = ledger_pb2.GetBalanceRequest(account_id=account_id)
        return _closing(self._stub.GetBalance(request, timeout=CALL_TIMEOUT_SECONDS).balance)

    def _entries(self, account_id: str) -> Iterator[Line]:
        request = ledger_pb2.ListEntriesRequest(account_id=account_id, page_size=PAGE_SIZE)
        while True:
            page = self._stub.ListEntries(request, timeout=CALL_TIMEOUT_SECONDS)
            for entry in page.entries:
                yield Line(
                    entry_id=entry.entry_id,
                    transfer_id=entry.transfer_id,
                    minor_units=entry.amount.minor_units,
                    reference=entry.reference,
                    create_time=entry.create_time.ToDatetime(tzinfo=dt.UTC),
                )
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _closing(balance: ledger_pb2.Balance) -> ClosingBalance:
    return ClosingBalance(balance.amount.minor_units, balance.entry_count)
