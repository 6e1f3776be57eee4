"""The use cases: who may, and then the store.

The policy engine is asked before anything is written and while no database
connection is held; the facts it is asked with never change, since accounts
are append-only, so nothing can happen between the answer and the write.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Protocol

from ledger.domain import (
    Account,
    AccountId,
    Balance,
    Entry,
    Opening,
    Posting,
    RequestId,
    Transfer,
)
from ledger.errors import AccountNotFoundError
from meshkit.identity import SpiffeId
from meshkit.pdp import ObjectDenied, ObjectPolicyPort


class Store(Protocol):
    """Where the ledger is kept. PostgresStore, and ledger.testing.MemoryStore."""

    async def open_account(
        self, caller: SpiffeId, request_id: RequestId, opening: Opening
    ) -> Account:
        """Opens it once; the clearing account that is there already counts as opened.

        Raises:
            RequestIdReusedError: the caller used the id for another opening.
        """

    async def post(
        self, caller: SpiffeId, request_id: RequestId, posting: Posting, legal_entity: str
    ) -> Transfer:
        """Posts it once, all legs or none.

        Raises:
            RequestIdReusedError: the caller used the id for another posting.
        """

    async def accounts(self, account_ids: Collection[AccountId]) -> dict[AccountId, Account]:
        """Those of them that exist."""

    async def balance(self, account: Account) -> Balance:
        """The sum of its entries as of one moment."""

    async def balances(
        self, legal_entity: str, after: AccountId | None, limit: int
    ) -> Sequence[Balance]:
        """Up to `limit` of them in order of account id, as of one moment."""

    async def entries(self, account: Account, after: int, limit: int) -> Sequence[Entry]:
        """Up to `limit` with an entry id greater than `after`, ascending."""


@dataclasses.dataclass(frozen=True)
class Ledger:
    """The ledger's use cases."""

    store: Store
    policy: ObjectPolicyPort

    async def open_account(
        self, caller: SpiffeId, request_id: RequestId, opening: Opening
    ) -> Account:
        """The account, new or from before.

        Request ids are the caller's own. There is one clearing account for
        each legal entity and currency: asked for under another request id it
        is returned, not opened again.

        Raises:
            ObjectDenied: the legal entity is not the user's own.
            RequestIdReusedError: the id was used for another opening.
        """
        await self.policy.allowed(
            "accounts.open", {"tenant": opening.legal_entity, "kind": opening.kind.name}
        )
        return await self.store.open_account(caller, request_id, opening)

    async def post_transfer(
        self, caller: SpiffeId, request_id: RequestId, posting: Posting
    ) -> Transfer:
        """The transfer, new or from before.

        Raises:
            AccountNotFoundError: an account does not exist or may not be posted to.
            CurrencyMismatchError, CrossEntityTransferError: as of `Posting.legal_entity_in`.
            RequestIdReusedError: the id was used for another posting.
        """
        accounts = await self.store.accounts([leg.account_id for leg in posting.legs])
        for leg in posting.legs:
            if leg.account_id not in accounts:
                raise _not_found(leg.account_id)
        # A question for each kind of account, not for each leg: 2 at most in
        # one legal entity. Before the checks that tell something about the accounts.
        asked: set[tuple[str, str]] = set()
        for account in accounts.values():
            facts = (account.legal_entity, account.kind.name)
            if facts not in asked:
                await self._allowed_or_not_found("accounts.post", account)
                asked.add(facts)
        legal_entity = posting.legal_entity_in(accounts)
        return await self.store.post(caller, request_id, posting, legal_entity)

    async def balance(self, account_id: AccountId) -> Balance:
        """What the account's entries add up to.

        Raises:
            AccountNotFoundError: it does not exist or is not the user's to see.
        """
        account = await self._readable(account_id)
        return await self.store.balance(account)

    async def balances(
        self, legal_entity: str, after: AccountId | None, limit: int
    ) -> Sequence[Balance]:
        """Up to `limit` balances of a legal entity in order of account id.

        Raises:
            ObjectDenied: the legal entity is not the user's own.
        """
        await self.policy.allowed("accounts.read", {"tenant": legal_entity})
        return await self.store.balances(legal_entity, after, limit)

    async def entries(self, account_id: AccountId, after: int, limit: int) -> Sequence[Entry]:
        """Up to `limit` entries of an account after the entry id `after`, oldest first.

        Raises:
            AccountNotFoundError: it does not exist or is not the user's to see.
        """
        account = await self._readable(account_id)
        return await self.store.entries(account, after, limit)

    async def _readable(self, account_id: AccountId) -> Account:
        account = (await self.store.accounts([account_id])).get(account_id)
        if account is None:
            raise _not_found(account_id)
        await self._allowed_or_not_found("accounts.read", account)
        return account

    async def _allowed_or_not_found(self, action: str, account: Account) -> None:
        """Somebody else's account and no account are the same answer, so that nobody can
        find out which ids exist.
        """
        facts = {"tenant": account.legal_entity, "kind": account.kind.name}
        try:
            await self.policy.allowed(action, facts)
        except ObjectDenied:
            raise _not_found(account.account_id) from None


def _not_found(account_id: AccountId) -> AccountNotFoundError:
    return AccountNotFoundError(metadata={"account_id": str(account_id)})
