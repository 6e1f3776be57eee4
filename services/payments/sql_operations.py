"""Statements about operations, each within a transaction that the caller holds.

Time is the database's clock_timestamp(): two processes agree about a lease,
and a transaction that waited for a lock does not go by when it began.
"""

# Put together from this package's own column lists; LiteralString holds that no input gets in.
# ruff: noqa: S608

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import LiteralString

from meshkit.database import Connection
from payments import rows
from payments.idempotency import Answer, Known, Lease, Rpc, Scope, backoff_seconds
from payments.ports import Work

_INSERT_OPERATION = """
    INSERT INTO operation (operation_id, tenant, user_sub, rpc, key_hash,
                           request_hash, lease_token, lease_until)
    VALUES (%(operation_id)s, %(tenant)s, %(user)s, %(rpc)s, %(key_hash)s,
            %(request_hash)s, %(token)s, clock_timestamp() + %(lease)s)
    ON CONFLICT (tenant, user_sub, rpc, key_hash) DO NOTHING
"""
_LOCK_OPERATION: LiteralString = (
    "SELECT operation_id, request_hash, lease_until, clock_timestamp(), "
    + rows.ANSWER_COLUMNS
    + """
      FROM operation
     WHERE tenant = %(tenant)s AND user_sub = %(user)s
       AND rpc = %(rpc)s AND key_hash = %(key_hash)s
       FOR UPDATE
    """
)
_TAKE_OPERATION = """
    UPDATE operation
       SET lease_token = %(token)s, lease_until = clock_timestamp() + %(lease)s,
           attempts = attempts + 1
     WHERE operation_id = %(operation_id)s
"""
_HOLD_OPERATION = """
    UPDATE operation
       SET lease_until = clock_timestamp() + %(lease)s, begun = begun OR %(begin)s
     WHERE operation_id = %(operation_id)s AND lease_token = %(token)s AND finish_time IS NULL
"""
_ATTEMPTS_OF_OPERATION = """
    SELECT attempts FROM operation
     WHERE operation_id = %(operation_id)s AND lease_token = %(token)s AND finish_time IS NULL
       FOR UPDATE
"""
_RELEASE_OPERATION = """
    UPDATE operation
       SET lease_token = gen_random_uuid(), lease_until = clock_timestamp(),
           next_attempt_time = clock_timestamp() + %(delay)s
     WHERE operation_id = %(operation_id)s
"""
_FINISH_OPERATION = """
    UPDATE operation
       SET finish_time = clock_timestamp(), answer_payload = %(payload)s, answer_code = %(code)s,
           answer_reason = %(reason)s, answer_message = %(message)s,
           answer_metadata = %(metadata)s
     WHERE operation_id = %(operation_id)s
"""
_CLAIM = """
    UPDATE operation
       SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + %(lease)s,
           attempts = attempts + 1
     WHERE operation_id IN (
               SELECT operation_id FROM operation
                WHERE begun AND finish_time IS NULL
                  AND next_attempt_time <= clock_timestamp()
                  AND lease_until <= clock_timestamp()
                ORDER BY next_attempt_time
                LIMIT %(limit)s
                  FOR UPDATE SKIP LOCKED)
    RETURNING operation_id, lease_token, rpc
"""
_SELECT_ANSWER: LiteralString = (
    "SELECT " + rows.ANSWER_COLUMNS + " FROM operation WHERE operation_id = %(operation_id)s"
)


async def insert(
    connection: Connection,
    scope: Scope,
    request_hash: bytes,
    lease: Lease,
    life: dt.timedelta,
) -> bool:
    """Whether the key was new; waits for a transaction that inserts it at this moment."""
    inserted = await connection.execute(
        _INSERT_OPERATION,
        _key_of(scope)
        | {
            "operation_id": lease.operation_id,
            "request_hash": request_hash,
            "token": lease.token,
            "lease": life,
        },
    )
    return inserted.rowcount == 1


async def lock(connection: Connection, scope: Scope) -> tuple[Known, dt.datetime]:
    """The operation of a key that is known, and the time."""
    return rows.known_of(rows.there(await rows.one(connection, _LOCK_OPERATION, _key_of(scope))))


async def take(connection: Connection, lease: Lease, life: dt.timedelta) -> None:
    """Give a locked operation a new holder."""
    await connection.execute(
        _TAKE_OPERATION,
        {"operation_id": lease.operation_id, "token": lease.token, "lease": life},
    )


async def hold(connection: Connection, lease: Lease, life: dt.timedelta, *, begin: bool) -> bool:
    """Lock the operation and extend its lease; False when it is somebody else's or finished."""
    held = await connection.execute(
        _HOLD_OPERATION,
        {
            "operation_id": lease.operation_id,
            "token": lease.token,
            "lease": life,
            "begin": begin,
        },
    )
    return held.rowcount == 1


async def release(connection: Connection, lease: Lease) -> None:
    """End the lease and set the time of the next attempt; nothing when it is lost."""
    row = await rows.one(
        connection,
        _ATTEMPTS_OF_OPERATION,
        {"operation_id": lease.operation_id, "token": lease.token},
    )
    if row is not None:
        delay = dt.timedelta(seconds=backoff_seconds(row[0]))
        await connection.execute(
            _RELEASE_OPERATION, {"operation_id": lease.operation_id, "delay": delay}
        )


async def finish(connection: Connection, lease: Lease, answer: Answer) -> None:
    """Store the answer of a held operation."""
    await connection.execute(
        _FINISH_OPERATION,
        {"operation_id": lease.operation_id, **rows.answer_columns(answer)},
    )


async def select_answer(connection: Connection, operation_id: uuid.UUID) -> Answer | None:
    """The answer of an operation, None while there is none."""
    row = await rows.one(connection, _SELECT_ANSWER, {"operation_id": operation_id})
    return None if row is None else rows.answer_of(row)


async def claim(connection: Connection, life: dt.timedelta, limit: int) -> Sequence[Work]:
    """Take over what was begun, is not held and is due."""
    claimed = await connection.execute(_CLAIM, {"lease": life, "limit": limit})
    return [Work(Lease(row[0], row[1]), Rpc(row[2])) async for row in claimed]


def _key_of(scope: Scope) -> dict[str, object]:
    return {
        "tenant": scope.tenant,
        "user": scope.user,
        "rpc": scope.rpc.value,
        "key_hash": scope.key_hash,
    }
