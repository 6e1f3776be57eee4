"""The ledger in PostgreSQL; the schema and what it enforces are in migrations/.

Balances are sums. There is no running balance to lock, to drift or to repair:
posting inserts rows and updates none, so transfers on one hot account do not
wait for each other (the foreign key takes a shared lock on the account's row,
which does not conflict with itself), and a row lock held through the flush of
a commit is what would otherwise bound a hot account to a few hundred transfers
a second. What it costs is that a balance reads all of the account's index
entries. When that is too many, the way on is an insert-only table of snapshots
by transaction id, not by entry_id: entry ids are given before the commit, and
a smaller one can become visible after a larger one.

For the same reason a reader that pages through the entries of an account while
transfers are posted can pass a place into which an entry still comes. Equal
entry counts before and after prove that none did: nothing is ever deleted.

Isolation is READ COMMITTED: a statement after a lost ON CONFLICT sees the
winner's rows. Every transaction is short and asks nobody outside the database.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, LiteralString

from psycopg import Rollback

from ledger import queries
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
    TransferId,
)
from ledger.errors import RequestIdReusedError
from meshkit.database import Connection, Pool, transaction
from meshkit.identity import SpiffeId
from meshkit.money import Currency, Money

# Below every id that gen_random_uuid() gives.
_NO_ACCOUNT = uuid.UUID(int=0)


class PostgresStore:
    """`ledger.handlers.Store` over a pool of connections of the role `ledger`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def open_account(
        self, caller: SpiffeId, request_id: RequestId, opening: Opening
    ) -> Account:
        """See `Store.open_account`."""
        request = {"caller": str(caller), "request_id": request_id}
        contents = {
            "legal_entity": opening.legal_entity,
            "kind": opening.kind.value,
            "currency_code": opening.currency.code,
        }
        async with transaction(self._pool) as connection:
            known = await self._opened_before(connection, request, opening)
            if known is not None:
                return known
            row = await _row(connection, queries.INSERT_ACCOUNT, contents)
            if row is None:
                row = await _row(connection, queries.SELECT_CLEARING, contents)
            if row is None:
                raise AssertionError("a clearing account was in the way and is not there")
            account = _account(row)
            cursor = await connection.execute(
                queries.INSERT_ACCOUNT_REQUEST,
                {
                    **request,
                    "content_hash": opening.content_hash(),
                    "account_id": account.account_id,
                },
            )
            if cursor.rowcount == 1:
                return account
            # The same request won meanwhile: its account counts, not ours.
            raise Rollback
        async with transaction(self._pool) as connection:
            known = await self._opened_before(connection, request, opening)
        if known is None:
            raise AssertionError("an account request was in the way and is not there")
        return known

    async def post(
        self, caller: SpiffeId, request_id: RequestId, posting: Posting, legal_entity: str
    ) -> Transfer:
        """See `Store.post`."""
        request = {"caller": str(caller), "request_id": request_id}
        async with transaction(self._pool) as connection:
            row = await _row(
                connection,
                queries.INSERT_TRANSFER,
                {
                    **request,
                    "content_hash": posting.content_hash(),
                    "legal_entity": legal_entity,
                    "leg_count": len(posting.legs),
                    "reference": posting.reference,
                },
            )
            if row is None:
                return await self._posted_before(connection, request, posting)
            transfer_id, create_time = row
            await connection.execute(
                queries.INSERT_ENTRIES,
                {
                    "transfer_id": transfer_id,
                    "legal_entity": legal_entity,
                    "account_ids": [leg.account_id for leg in posting.legs],
                    "currency_codes": [leg.amount.currency.code for leg in posting.legs],
                    "minor_units": [leg.amount.minor_units for leg in posting.legs],
                },
            )
        # Only here it is committed, and the sum of the legs checked by the database.
        return Transfer(TransferId(transfer_id), posting, create_time)

    async def accounts(self, account_ids: Collection[AccountId]) -> dict[AccountId, Account]:
        """See `Store.accounts`."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(
                queries.SELECT_ACCOUNTS, {"account_ids": list(account_ids)}
            )
            found = [_account(row) async for row in cursor]
        return {account.account_id: account for account in found}

    async def balance(self, account: Account) -> Balance:
        """See `Store.balance`."""
        async with transaction(self._pool) as connection:
            row = await _row(connection, queries.SELECT_BALANCE, {"account_id": account.account_id})
        if row is None:
            raise AssertionError("an aggregate without GROUP BY has one row")
        return Balance(account, minor_units=int(row[0]), entry_count=row[1])

    async def balances(
        self, legal_entity: str, after: AccountId | None, limit: int
    ) -> Sequence[Balance]:
        """See `Store.balances`."""
        parameters = {"legal_entity": legal_entity, "after": after or _NO_ACCOUNT, "limit": limit}
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(queries.SELECT_BALANCES, parameters)
            return [
                Balance(_account(row[:5]), minor_units=int(row[5]), entry_count=row[6])
                async for row in cursor
            ]

    async def entries(self, account: Account, after: int, limit: int) -> Sequence[Entry]:
        """See `Store.entries`."""
        parameters = {"account_id": account.account_id, "after": after, "limit": limit}
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(queries.SELECT_ENTRIES, parameters)
            return [
                Entry(
                    entry_id=entry_id,
                    transfer_id=TransferId(transfer_id),
                    amount=Money(account.currency, minor_units),
                    reference=reference,
                    create_time=create_time,
                )
                async for entry_id, transfer_id, minor_units, reference, create_time in cursor
            ]

    async def _opened_before(
        self, connection: Connection, request: Mapping[str, object], opening: Opening
    ) -> Account | None:
        row = await _row(connection, queries.FIND_ACCOUNT_REQUEST, request)
        if row is None:
            return None
        content_hash, *account = row
        if bytes(content_hash) != opening.content_hash():
            raise RequestIdReusedError
        return _account(account)

    async def _posted_before(
        self, connection: Connection, request: Mapping[str, object], posting: Posting
    ) -> Transfer:
        row = await _row(connection, queries.FIND_TRANSFER, request)
        if row is None:
            raise AssertionError("a transfer was in the way and is not there")
        transfer_id, content_hash, reference, create_time = row
        if bytes(content_hash) != posting.content_hash():
            raise RequestIdReusedError
        cursor = await connection.execute(queries.SELECT_LEGS, {"transfer_id": transfer_id})
        legs = [
            Leg(AccountId(account_id), Money(Currency.parse(currency_code), minor_units))
            async for account_id, currency_code, minor_units in cursor
        ]
        first = Posting(legs=tuple(legs), reference=reference)
        return Transfer(TransferId(transfer_id), first, create_time)


async def _row(
    connection: Connection, query: LiteralString, parameters: Mapping[str, object]
) -> Any:
    """The first row, None when there is none."""
    cursor = await connection.execute(query, parameters)
    return await cursor.fetchone()


def _account(row: Sequence[Any]) -> Account:
    account_id, legal_entity, kind, currency_code, create_time = row
    return Account(
        account_id=AccountId(account_id),
        legal_entity=legal_entity,
        kind=AccountKind(kind),
        currency=Currency.parse(currency_code),
        create_time=create_time,
    )
