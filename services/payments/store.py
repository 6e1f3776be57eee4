"""The service's memory in PostgreSQL; each public method is one transaction.

Locks are taken in one order, operation before payment, so two transactions
never wait for each other in a circle.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from meshkit.database import Connection, Pool, transaction
from meshkit.money import Money
from payments import sql_operations, sql_payments
from payments.domain import IllegalMoveError, Payment, Refund
from payments.idempotency import Answer, Failure, Lease, Reservation, Scope, judge
from payments.ports import (
    AnswerOf,
    LeaseLostError,
    NewPayment,
    PaymentMove,
    Position,
    RefundMove,
    Work,
)

# After every payment: where the first page begins.
_NEWEST = Position(dt.datetime.max.replace(tzinfo=dt.UTC), uuid.UUID(int=2**128 - 1))


class PostgresStore:
    """`ports.Store` over the role `payments`; leases last `lease_seconds`."""

    def __init__(self, pool: Pool, lease_seconds: float) -> None:
        self._pool = pool
        self._life = dt.timedelta(seconds=lease_seconds)

    async def reserve(
        self, scope: Scope, request_hash: bytes, operation_id: uuid.UUID
    ) -> Reservation:
        """See ports.Store."""
        lease = Lease(operation_id, uuid.uuid4())
        async with transaction(self._pool) as connection:
            if await sql_operations.insert(connection, scope, request_hash, lease, self._life):
                return lease
            known, now = await sql_operations.lock(connection, scope)
            verdict = judge(known, request_hash, now)
            if verdict is not None:
                return verdict
            lease = Lease(known.operation_id, lease.token)
            await sql_operations.take(connection, lease, self._life)
            return lease

    async def release(self, lease: Lease) -> None:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            await sql_operations.release(connection, lease)

    async def refuse(self, lease: Lease, answer: Failure) -> None:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            await self._hold(connection, lease)
            await sql_operations.finish(connection, lease, answer)

    async def answer(self, operation_id: uuid.UUID) -> Answer | None:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            return await sql_operations.select_answer(connection, operation_id)

    async def claim(self, limit: int) -> Sequence[Work]:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            return await sql_operations.claim(connection, self._life, limit)

    async def payment(self, payment_id: uuid.UUID) -> Payment | None:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            return await sql_payments.select_payment(connection, payment_id)

    async def refund(self, refund_id: uuid.UUID) -> Refund | None:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            return await sql_payments.select_refund(connection, refund_id)

    async def payments(
        self, tenant: str, created_by: str | None, after: Position | None, limit: int
    ) -> Sequence[Payment]:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            return await sql_payments.page_of_payments(
                connection, tenant, created_by, after or _NEWEST, limit
            )

    async def begin_payment(self, lease: Lease, new: NewPayment) -> Payment:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            await self._hold(connection, lease, begin=True)
            return await sql_payments.insert_payment(connection, lease.operation_id, new)

    async def move_payment(
        self, lease: Lease, move: PaymentMove, answer: AnswerOf | None = None
    ) -> Payment:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            await self._hold(connection, lease)
            after = move(await sql_payments.lock_payment(connection, lease.operation_id))
            await sql_payments.update_payment(connection, after)
            if answer is not None:
                await sql_operations.finish(connection, lease, answer(after))
            return after

    async def begin_refund(
        self, lease: Lease, payment_id: uuid.UUID, amount: Money | None
    ) -> Refund:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            await self._hold(connection, lease, begin=True)
            payment = await sql_payments.lock_payment(connection, payment_id)
            after, wanted = payment.set_aside(amount)
            await sql_payments.update_payment(connection, after)
            return await sql_payments.insert_refund(
                connection, lease.operation_id, payment_id, wanted
            )

    async def move_refund(
        self, lease: Lease, move: RefundMove, answer: AnswerOf | None = None
    ) -> Refund:
        """See ports.Store."""
        async with transaction(self._pool) as connection:
            await self._hold(connection, lease)
            refund = await sql_payments.select_refund(connection, lease.operation_id)
            if refund is None:
                raise IllegalMoveError("there is no such refund")
            payment = await sql_payments.lock_payment(connection, refund.payment_id)
            payment_after, refund_after = move(payment, refund)
            await sql_payments.update_payment(connection, payment_after)
            await sql_payments.update_refund(connection, refund_after)
            if answer is not None:
                await sql_operations.finish(connection, lease, answer(payment_after))
            return refund_after

    async def _hold(self, connection: Connection, lease: Lease, *, begin: bool = False) -> None:
        """Lock the operation and extend its lease. Raises LeaseLostError."""
        if not await sql_operations.hold(connection, lease, self._life, begin=begin):
            raise LeaseLostError
