"""A ledger in memory, for tests.

`MemoryStore` passes the same contract tests as `PostgresStore`
(tests/integration/ledger/test_store_contract.py).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection, Sequence

from ledger.domain import (
    Account,
    AccountId,
    AccountKind,
    Balance,
    Entry,
    Opening,
    Posting,
    RequestId,
    Transfer,
    TransferId,
)
from ledger.errors import RequestIdReusedError
from meshkit.identity import SpiffeId

_Key = tuple[SpiffeId, RequestId]


@dataclasses.dataclass
class MemoryStore:
    """`ledger.handlers.Store` in dictionaries; one event loop, so nothing interleaves."""

    _accounts: dict[AccountId, Account] = dataclasses.field(default_factory=dict)
    _entries: list[tuple[AccountId, Entry]] = dataclasses.field(default_factory=list)
    _openings: dict[_Key, tuple[bytes, Account]] = dataclasses.field(default_factory=dict)
    _transfers: dict[_Key, Transfer] = dataclasses.field(default_factory=dict)

    async def open_account(
        self, caller: SpiffeId, request_id: RequestId, opening: Opening
    ) -> Account:
        """See `Store.open_account`."""
        key = (caller, request_id)
        if key in self._openings:
            content_hash, account = self._openings[key]
            if content_hash != opening.content_hash():
                raise RequestIdReusedError
            return account
        account = self._clearing(opening) or Account(
            account_id=AccountId(uuid.uuid4()),
            legal_entity=opening.legal_entity,
            kind=opening.kind,
            currency=opening.currency,
            create_time=dt.datetime.now(dt.UTC),
        )
        self._accounts[account.account_id] = account
        self._openings[key] = (opening.content_hash(), account)
        return account

    async def post(
        self, caller: SpiffeId, request_id: RequestId, posting: Posting, legal_entity: str
    ) -> Transfer:
        """See `Store.post`."""
        key = (caller, request_id)
        if key in self._transfers:
            first = self._transfers[key]
            if first.posting.content_hash() != posting.content_hash():
                raise RequestIdReusedError
            return first
        for leg in posting.legs:
            if self._accounts[leg.account_id].legal_entity != legal_entity:
                raise AssertionError("a leg of another legal entity got as far as the store")
        transfer = Transfer(TransferId(uuid.uuid4()), posting, dt.datetime.now(dt.UTC))
        self._transfers[key] = transfer
        for leg in posting.legs:
            entry = Entry(
                entry_id=len(self._entries) + 1,
                transfer_id=transfer.transfer_id,
                amount=leg.amount,
                reference=posting.reference,
                create_time=transfer.create_time,
            )
            self._entries.append((leg.account_id, entry))
        return transfer

    async def accounts(self, account_ids: Collection[AccountId]) -> dict[AccountId, Account]:
        """See `Store.accounts`."""
        return {key: self._accounts[key] for key in account_ids if key in self._accounts}

    async def balance(self, account: Account) -> Balance:
        """See `Store.balance`."""
        amounts = [
            entry.amount.minor_units
            for account_id, entry in self._entries
            if account_id == account.account_id
        ]
        return Balance(account, minor_units=sum(amounts), entry_count=len(amounts))

    async def balances(
        self, legal_entity: str, after: AccountId | None, limit: int
    ) -> Sequence[Balance]:
        """See `Store.balances`."""
        ids = sorted(
            account.account_id
            for account in self._accounts.values()
            if account.legal_entity == legal_entity
            and (after is None or account.account_id > after)
        )
        return [await self.balance(self._accounts[account_id]) for account_id in ids[:limit]]

    async def entries(self, account: Account, after: int, limit: int) -> Sequence[Entry]:
        """See `Store.entries`."""
        return [
            entry
            for account_id, entry in self._entries
            if account_id == account.account_id and entry.entry_id > after
        ][:limit]

    def _clearing(self, opening: Opening) -> Account | None:
        if opening.kind is not AccountKind.CLEARING:
            return None
        for account in self._accounts.values():
            if (account.kind, account.legal_entity, account.currency) == (
                AccountKind.CLEARING,
                opening.legal_entity,
                opening.currency,
            ):
                return account
        return None
