"""Links in PostgreSQL; the schema and what it enforces are in migrations/.

Each change is one UPDATE whose WHERE names the phase and state it starts from,
so of two that race one finds its row and the other does not; the row as it is
after that is what both return. Isolation is READ COMMITTED: a statement after
a lost race sees the winner's row. No transaction waits for anybody outside.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from bank_link import queries
from bank_link.domain import (
    Cursor,
    Link,
    LinkId,
    LinkState,
    Owner,
    Phase,
    Reference,
    Reservation,
    Wanted,
)
from meshkit.database import Connection, Pool, transaction

# After every link there will ever be: where the first page begins.
_START = Cursor(dt.datetime.max.replace(tzinfo=dt.UTC), LinkId(uuid.UUID(int=2**128 - 1)))


class PostgresStore:
    """`bank_link.handlers.Store` over a pool of connections of the role `bank_link`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def reserve(self, link_id: LinkId, wanted: Wanted) -> Reservation:
        """See `Store.reserve`. Returns after the commit: only then may the provider be asked."""
        parameters = {
            "link_id": link_id,
            "tenant": wanted.owner.tenant,
            "owner": wanted.owner.sub,
            "request_id": wanted.request_id,
            "fingerprint": wanted.fingerprint(link_id),
            "institution_id": wanted.institution_id,
        }
        async with transaction(self._pool) as connection:
            await connection.execute(queries.RESERVE, parameters)
            row = await _row(connection, queries.SELECT_RESERVED, parameters)
        if row is None:
            raise AssertionError("a reservation was in the way and is not there")
        return Reservation(_link(row[:-1]), bytes(row[-1]))

    async def attach(self, link_id: LinkId, reference: Reference) -> Link | None:
        """See `Store.attach`."""
        return await self._change(queries.ATTACH, link_id, reference=reference.text)

    async def get(self, link_id: LinkId) -> Link | None:
        """See `Store.get`."""
        async with transaction(self._pool) as connection:
            row = await _row(connection, queries.SELECT_LINK, {"link_id": link_id})
        return None if row is None else _link(row)

    async def live(self, owner: Owner, after: Cursor | None, limit: int) -> Sequence[Link]:
        """See `Store.live`."""
        start = after or _START
        parameters = {
            "tenant": owner.tenant,
            "owner": owner.sub,
            "create_time": start.create_time,
            "after": start.link_id,
            "limit": limit,
        }
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(queries.SELECT_LIVE, parameters)
            return [_link(row) async for row in cursor]

    async def move(self, link_id: LinkId, state: LinkState) -> Link | None:
        """See `Store.move`."""
        return await self._change(queries.MOVE, link_id, state=state.value)

    async def begin_removal(self, link_id: LinkId) -> Link | None:
        """See `Store.begin_removal`."""
        return await self._change(queries.BEGIN_REMOVAL, link_id)

    async def finish_removal(self, link_id: LinkId) -> Link | None:
        """See `Store.finish_removal`."""
        return await self._change(queries.FINISH_REMOVAL, link_id)

    async def being_removed(self, limit: int) -> Sequence[Link]:
        """See `Store.being_removed`."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(queries.SELECT_BEING_REMOVED, {"limit": limit})
            return [_link(row) async for row in cursor]

    async def _change(self, update: LiteralString, link_id: LinkId, **values: str) -> Link | None:
        parameters = {"link_id": link_id, **values}
        async with transaction(self._pool) as connection:
            await connection.execute(update, parameters)
            row = await _row(connection, queries.SELECT_LINK, parameters)
        return None if row is None else _link(row)


async def _row(
    connection: Connection, query: LiteralString, parameters: Mapping[str, object]
) -> Any:
    """The first row, None when there is none."""
    cursor = await connection.execute(query, parameters)
    return await cursor.fetchone()


def _link(row: Sequence[Any]) -> Link:
    link_id, tenant, owner, institution_id, state, phase, reference, created, updated = row
    return Link(
        link_id=LinkId(link_id),
        owner=Owner(tenant, owner),
        institution_id=institution_id,
        state=LinkState(state),
        phase=Phase(phase),
        reference=None if reference is None else Reference(reference),
        create_time=created,
        update_time=updated,
    )
