"""What a payment and a refund are, and how each may move on.

A payment:

    CHARGING ──charge──▶ CHARGED ──post──▶ SUCCEEDED ──refunds──▶ (partly, wholly given back)
        └────decline───▶ FAILED

A refund, whose amount is set aside on its payment while it runs:

    RETURNING ──return──▶ RETURNED ──post──▶ SUCCEEDED
        └─────reject────▶ FAILED              (what was set aside is free again)

Everything here is a pure function of values: no clock, no I/O, no gRPC, no
driver. A move that was already made is made again without effect, so whoever
finishes somebody else's work may repeat its last step; a move from anywhere
else raises IllegalMoveError.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid

from meshkit.money import Money

# Stripe keeps idempotency keys for at least 24 hours. A request older than
# this is not sent again: the provider may have forgotten that it knows it.
SENDING_WINDOW = dt.timedelta(hours=23)


class DomainError(Exception):
    """Root of what the rules below refuse."""


class IllegalMoveError(DomainError):
    """The state has no such move; a fault of ours, never of the caller."""


class NotRefundableError(DomainError):
    """The payment did not succeed, or was given back whole."""


class CurrencyDiffersError(DomainError):
    """The refund's currency is not the payment's."""


class RefundTooLargeError(DomainError):
    """More than is left, counting refunds that still run."""


class Stage(enum.StrEnum):
    """How far a payment has come."""

    CHARGING = "charging"
    CHARGED = "charged"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RefundStage(enum.StrEnum):
    """How far a refund has come."""

    RETURNING = "returning"
    RETURNED = "returned"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class State(enum.Enum):
    """What a client is told."""

    PENDING = enum.auto()
    SUCCEEDED = enum.auto()
    FAILED = enum.auto()
    PARTIALLY_REFUNDED = enum.auto()
    REFUNDED = enum.auto()


class SourceKind(enum.StrEnum):
    """What is charged."""

    CARD_TOKEN = "card_token"  # noqa: S105  (the name of a kind, no secret)
    BANK_LINK = "bank_link"


@dataclasses.dataclass(frozen=True)
class Source:
    """What is charged: a provider's token of a card, or the id of a bank link."""

    kind: SourceKind
    reference: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Payment:
    """A payment whose charge may have been sent to the provider.

    `set_aside_minor_units` counts refunds that run or have succeeded,
    `refunded_minor_units` only the latter. `source` is None once the charge
    is decided: the token is of no more use.
    """

    payment_id: uuid.UUID
    tenant: str
    created_by: str
    amount: Money
    merchant_account_id: uuid.UUID
    clearing_account_id: uuid.UUID
    description: str
    source: Source | None
    create_time: dt.datetime
    stage: Stage = Stage.CHARGING
    charge_id: str | None = None
    decline_code: str = ""
    transfer_id: uuid.UUID | None = None
    set_aside_minor_units: int = 0
    refunded_minor_units: int = 0

    @property
    def state(self) -> State:
        """What a client is told."""
        match self.stage:
            case Stage.CHARGING | Stage.CHARGED:
                return State.PENDING
            case Stage.FAILED:
                return State.FAILED
            case Stage.SUCCEEDED:
                return self._state_of_success()

    def _state_of_success(self) -> State:
        if self.refunded_minor_units == 0:
            return State.SUCCEEDED
        if self.refunded_minor_units < self.amount.minor_units:
            return State.PARTIALLY_REFUNDED
        return State.REFUNDED

    def charged(self, charge_id: str) -> Payment:
        """The provider took the money."""
        if self.charge_id == charge_id and self.stage in (Stage.CHARGED, Stage.SUCCEEDED):
            return self
        self._require(Stage.CHARGING)
        return dataclasses.replace(self, stage=Stage.CHARGED, charge_id=charge_id, source=None)

    def declined(self, decline_code: str) -> Payment:
        """The provider took nothing and never will."""
        if self.stage is Stage.FAILED and self.decline_code == decline_code:
            return self
        self._require(Stage.CHARGING)
        return dataclasses.replace(self, stage=Stage.FAILED, decline_code=decline_code, source=None)

    def posted(self, transfer_id: uuid.UUID) -> Payment:
        """The ledger has the transfer."""
        if self.stage is Stage.SUCCEEDED and self.transfer_id == transfer_id:
            return self
        self._require(Stage.CHARGED)
        return dataclasses.replace(self, stage=Stage.SUCCEEDED, transfer_id=transfer_id)

    def set_aside(self, amount: Money | None) -> tuple[Payment, Money]:
        """Reserves `amount` for a refund, or all that is left when it is None.

        Raises:
            NotRefundableError, CurrencyDiffersError, RefundTooLargeError.
        """
        if self.state not in (State.SUCCEEDED, State.PARTIALLY_REFUNDED):
            raise NotRefundableError
        if amount is not None and amount.currency != self.amount.currency:
            raise CurrencyDiffersError
        left = self.amount.minor_units - self.set_aside_minor_units
        wanted = left if amount is None else amount.minor_units
        if not 0 < wanted <= left:
            raise RefundTooLargeError
        after = dataclasses.replace(self, set_aside_minor_units=self.set_aside_minor_units + wanted)
        return after, Money(self.amount.currency, wanted)

    def given_back(self, amount: Money) -> Payment:
        """A refund that was set aside has succeeded."""
        refunded = self.refunded_minor_units + amount.minor_units
        if refunded > self.set_aside_minor_units:
            raise IllegalMoveError("more given back than was set aside")
        return dataclasses.replace(self, refunded_minor_units=refunded)

    def kept(self, amount: Money) -> Payment:
        """A refund that was set aside has failed."""
        left = self.set_aside_minor_units - amount.minor_units
        if left < self.refunded_minor_units:
            raise IllegalMoveError("more kept than was set aside")
        return dataclasses.replace(self, set_aside_minor_units=left)

    def _require(self, stage: Stage) -> None:
        if self.stage is not stage:
            raise IllegalMoveError(f"payment is {self.stage}, not {stage}")


@dataclasses.dataclass(frozen=True)
class Refund:
    """Money on its way back; its amount is set aside on its payment."""

    refund_id: uuid.UUID
    payment_id: uuid.UUID
    amount: Money
    create_time: dt.datetime
    stage: RefundStage = RefundStage.RETURNING
    provider_refund_id: str | None = None
    failure_code: str = ""
    transfer_id: uuid.UUID | None = None

    def returned(self, provider_refund_id: str) -> Refund:
        """The provider gave the money back."""
        done = (RefundStage.RETURNED, RefundStage.SUCCEEDED)
        if self.stage in done and self.provider_refund_id == provider_refund_id:
            return self
        self._require(RefundStage.RETURNING)
        return dataclasses.replace(
            self, stage=RefundStage.RETURNED, provider_refund_id=provider_refund_id
        )

    def rejected(self, payment: Payment, failure_code: str) -> tuple[Payment, Refund]:
        """The provider gave nothing back and never will."""
        self._require(RefundStage.RETURNING)
        refund = dataclasses.replace(self, stage=RefundStage.FAILED, failure_code=failure_code)
        return payment.kept(self.amount), refund

    def posted(self, payment: Payment, transfer_id: uuid.UUID) -> tuple[Payment, Refund]:
        """The ledger has the transfer."""
        self._require(RefundStage.RETURNED)
        refund = dataclasses.replace(self, stage=RefundStage.SUCCEEDED, transfer_id=transfer_id)
        return payment.given_back(self.amount), refund

    def _require(self, stage: RefundStage) -> None:
        if self.stage is not stage:
            raise IllegalMoveError(f"refund is {self.stage}, not {stage}")


def may_send(create_time: dt.datetime, now: dt.datetime) -> bool:
    """Whether the provider surely still knows the idempotency key of a request begun then."""
    return now - create_time < SENDING_WINDOW
