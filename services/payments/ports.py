"""What the use cases need from outside, as protocols; the tests bring their own.

Every method of Store is one committed transaction. Those that take a Lease
verify it inside that transaction and extend it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

from meshkit.money import Money
from payments.domain import Payment, Refund, Source
from payments.idempotency import Answer, Failure, Lease, Reservation, Rpc, Scope


class LeaseLostError(Exception):
    """Somebody else executes the operation, or has finished it; nothing was written."""


@dataclasses.dataclass(frozen=True)
class NewPayment:
    """A payment whose charge is about to be sent."""

    tenant: str
    created_by: str
    amount: Money
    merchant_account_id: uuid.UUID
    clearing_account_id: uuid.UUID
    description: str
    source: Source


@dataclasses.dataclass(frozen=True)
class Work:
    """An unfinished operation that the worker has taken over."""

    lease: Lease
    rpc: Rpc


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a page ended: the last payment on it."""

    create_time: dt.datetime
    payment_id: uuid.UUID


PaymentMove = Callable[[Payment], Payment]
RefundMove = Callable[[Payment, Refund], tuple[Payment, Refund]]
AnswerOf = Callable[[Payment], Answer]


class Store(Protocol):
    """The service's memory."""

    async def reserve(
        self, scope: Scope, request_hash: bytes, operation_id: uuid.UUID
    ) -> Reservation:
        """Take the key for `operation_id`, or say what became of the first call with it.

        A lease that ran out is taken over under the first call's operation id.
        """

    async def release(self, lease: Lease) -> None:
        """End the lease early; the worker leaves the operation alone for its backoff.

        A lost lease is no error here.
        """

    async def refuse(self, lease: Lease, answer: Failure) -> None:
        """Finish an operation that began nothing. Raises LeaseLostError."""

    async def answer(self, operation_id: uuid.UUID) -> Answer | None:
        """The operation's answer, None while it is unfinished."""

    async def claim(self, limit: int) -> Sequence[Work]:
        """Take over begun operations that nobody holds and whose time has come."""

    async def payment(self, payment_id: uuid.UUID) -> Payment | None:
        """One payment."""

    async def refund(self, refund_id: uuid.UUID) -> Refund | None:
        """One refund."""

    async def payments(
        self, tenant: str, created_by: str | None, after: Position | None, limit: int
    ) -> Sequence[Payment]:
        """Payments of a tenant, or of one of its users, newest first."""

    async def begin_payment(self, lease: Lease, new: NewPayment) -> Payment:
        """Store a payment under the operation's id. Raises LeaseLostError."""

    async def move_payment(
        self, lease: Lease, move: PaymentMove, answer: AnswerOf | None = None
    ) -> Payment:
        """Move the lease's payment on; with `answer` the operation is finished by it.

        Raises LeaseLostError, and whatever `move` raises.
        """

    async def begin_refund(
        self, lease: Lease, payment_id: uuid.UUID, amount: Money | None
    ) -> Refund:
        """Set the amount aside under the payment's row lock and store a refund.

        Raises LeaseLostError, and what Payment.set_aside raises.
        """

    async def move_refund(
        self, lease: Lease, move: RefundMove, answer: AnswerOf | None = None
    ) -> Refund:
        """Move the lease's refund and its payment on, like move_payment."""


@dataclasses.dataclass(frozen=True)
class MerchantAccount:
    """What the ledger says about an account."""

    legal_entity: str
    is_merchant: bool
    currency_code: str


@dataclasses.dataclass(frozen=True)
class Transfer:
    """`amount` from one account to another; the same request_id posts it once."""

    request_id: uuid.UUID
    debit_account_id: uuid.UUID
    credit_account_id: uuid.UUID
    amount: Money
    reference: str


class Ledger(Protocol):
    """The ledger service. Every method raises LedgerUnavailableError."""

    async def account(self, account_id: uuid.UUID) -> MerchantAccount | None:
        """The account, None if there is none that the user may pay to."""

    async def clearing_account(self, legal_entity: str, currency_code: str) -> uuid.UUID:
        """The legal entity's clearing account, opened when first needed."""

    async def post(self, transfer: Transfer) -> uuid.UUID:
        """Post once; the transfer's id."""


@dataclasses.dataclass(frozen=True)
class Link:
    """What bank-link says about a link; `state` is PENDING, SUCCESS or FAILED."""

    owner: str
    state: str


class Links(Protocol):
    """The bank-link service. Raises ProviderUnavailableError."""

    async def link(self, link_id: uuid.UUID) -> Link | None:
        """The link, None if there is none that the user may use."""


class Clock(Protocol):
    """The time of day, in UTC."""

    def __call__(self) -> dt.datetime:
        """Now."""
