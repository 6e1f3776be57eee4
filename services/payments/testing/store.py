"""The store in memory: the same rules, a clock that the test moves, nothing lost but by intent."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Sequence

from meshkit.money import Money
from payments.domain import IllegalMoveError, Payment, Refund
from payments.idempotency import (
    Answer,
    Failure,
    Known,
    Lease,
    Reservation,
    Scope,
    backoff_seconds,
    judge,
)
from payments.ports import (
    AnswerOf,
    LeaseLostError,
    NewPayment,
    PaymentMove,
    Position,
    RefundMove,
    Work,
)
from payments.testing.stepping import Turns


@dataclasses.dataclass
class Operation:
    """A row of the table of the same name."""

    scope: Scope
    lease: Lease
    request_hash: bytes
    lease_until: dt.datetime
    next_attempt_time: dt.datetime
    attempts: int = 1
    begun: bool = False
    answer: Answer | None = None


class MemoryStore:
    """A ports.Store. A method changes everything or nothing, between two pauses."""

    def __init__(
        self, turns: Turns, now: Callable[[], dt.datetime], lease_seconds: float = 20.0
    ) -> None:
        self._turns = turns
        self._now = now
        self._life = dt.timedelta(seconds=lease_seconds)
        self.operations: dict[Scope, Operation] = {}
        self._payments: dict[uuid.UUID, Payment] = {}
        self._refunds: dict[uuid.UUID, Refund] = {}

    def stored_payments(self) -> Sequence[Payment]:
        """Every payment, in the order of their beginning."""
        return list(self._payments.values())

    async def reserve(
        self, scope: Scope, request_hash: bytes, operation_id: uuid.UUID
    ) -> Reservation:
        """See ports.Store."""
        await self._turns.turn()
        reservation = self._reserve(scope, request_hash, operation_id)
        await self._turns.turn()
        return reservation

    def _reserve(self, scope: Scope, request_hash: bytes, operation_id: uuid.UUID) -> Reservation:
        now = self._now()
        known = self.operations.get(scope)
        if known is None:
            lease = Lease(operation_id, uuid.uuid4())
            self.operations[scope] = Operation(scope, lease, request_hash, now + self._life, now)
            return lease
        verdict = judge(
            Known(known.lease.operation_id, known.request_hash, known.answer, known.lease_until),
            request_hash,
            now,
        )
        return verdict if verdict is not None else self._take(known)

    def _take(self, operation: Operation) -> Lease:
        operation.lease = Lease(operation.lease.operation_id, uuid.uuid4())
        operation.lease_until = self._now() + self._life
        operation.attempts += 1
        return operation.lease

    async def release(self, lease: Lease) -> None:
        """See ports.Store."""
        await self._turns.turn()
        for operation in self.operations.values():
            if operation.lease == lease and operation.answer is None:
                operation.lease = Lease(lease.operation_id, uuid.uuid4())
                operation.lease_until = self._now()
                operation.next_attempt_time = self._now() + dt.timedelta(
                    seconds=backoff_seconds(operation.attempts)
                )
        await self._turns.turn()

    async def refuse(self, lease: Lease, answer: Failure) -> None:
        """See ports.Store."""
        await self._turns.turn()
        self._held(lease).answer = answer
        await self._turns.turn()

    async def answer(self, operation_id: uuid.UUID) -> Answer | None:
        """See ports.Store."""
        await self._turns.turn()
        answers = (
            operation.answer
            for operation in self.operations.values()
            if operation.lease.operation_id == operation_id
        )
        return next(answers, None)

    async def claim(self, limit: int) -> Sequence[Work]:
        """See ports.Store."""
        await self._turns.turn()
        now = self._now()
        due = [
            operation
            for operation in self.operations.values()
            if operation.begun
            and operation.answer is None
            and operation.next_attempt_time <= now
            and operation.lease_until <= now
        ]
        due.sort(key=lambda operation: operation.next_attempt_time)
        claimed = [Work(self._take(operation), operation.scope.rpc) for operation in due[:limit]]
        await self._turns.turn()
        return claimed

    async def payment(self, payment_id: uuid.UUID) -> Payment | None:
        """See ports.Store."""
        await self._turns.turn()
        return self._payments.get(payment_id)

    async def refund(self, refund_id: uuid.UUID) -> Refund | None:
        """See ports.Store."""
        await self._turns.turn()
        return self._refunds.get(refund_id)

    async def payments(
        self, tenant: str, created_by: str | None, after: Position | None, limit: int
    ) -> Sequence[Payment]:
        """See ports.Store."""
        await self._turns.turn()
        found = [
            payment
            for payment in self._payments.values()
            if payment.tenant == tenant
            and created_by in (None, payment.created_by)
            and (after is None or _place(payment) < (after.create_time, after.payment_id))
        ]
        return sorted(found, key=_place, reverse=True)[:limit]

    async def begin_payment(self, lease: Lease, new: NewPayment) -> Payment:
        """See ports.Store."""
        await self._turns.turn()
        operation = self._held(lease)
        fields = {field.name: getattr(new, field.name) for field in dataclasses.fields(new)}
        payment = Payment(payment_id=lease.operation_id, create_time=self._now(), **fields)
        operation.begun = True
        self._payments[payment.payment_id] = payment
        await self._turns.turn()
        return payment

    async def move_payment(
        self, lease: Lease, move: PaymentMove, answer: AnswerOf | None = None
    ) -> Payment:
        """See ports.Store."""
        await self._turns.turn()
        operation = self._held(lease)
        after = move(self._payments[lease.operation_id])
        self._payments[lease.operation_id] = after
        if answer is not None:
            operation.answer = answer(after)
        await self._turns.turn()
        return after

    async def begin_refund(
        self, lease: Lease, payment_id: uuid.UUID, amount: Money | None
    ) -> Refund:
        """See ports.Store."""
        await self._turns.turn()
        operation = self._held(lease)
        after, wanted = self._payments[payment_id].set_aside(amount)
        refund = Refund(lease.operation_id, payment_id, wanted, self._now())
        operation.begun = True
        self._payments[payment_id] = after
        self._refunds[refund.refund_id] = refund
        await self._turns.turn()
        return refund

    async def move_refund(
        self, lease: Lease, move: RefundMove, answer: AnswerOf | None = None
    ) -> Refund:
        """See ports.Store."""
        await self._turns.turn()
        operation = self._held(lease)
        refund = self._refunds.get(lease.operation_id)
        if refund is None:
            raise IllegalMoveError("there is no such refund")
        payment, after = move(self._payments[refund.payment_id], refund)
        self._payments[payment.payment_id] = payment
        self._refunds[after.refund_id] = after
        if answer is not None:
            operation.answer = answer(payment)
        await self._turns.turn()
        return after

    def _held(self, lease: Lease) -> Operation:
        for operation in self.operations.values():
            if operation.lease == lease and operation.answer is None:
                operation.lease_until = self._now() + self._life
                return operation
        raise LeaseLostError


def _place(payment: Payment) -> tuple[dt.datetime, uuid.UUID]:
    return payment.create_time, payment.payment_id
