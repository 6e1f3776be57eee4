"""Payment providers behind one interface."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Protocol

from meshkit.money import Money
from payments.domain import Source


@dataclasses.dataclass(frozen=True)
class Charged:
    """The money was taken."""

    charge_id: str


@dataclasses.dataclass(frozen=True)
class Declined:
    """Nothing was taken, and this request never will take anything."""

    decline_code: str


@dataclasses.dataclass(frozen=True)
class Returned:
    """The money was given back."""

    provider_refund_id: str


@dataclasses.dataclass(frozen=True)
class Rejected:
    """Nothing was given back, and this request never will give anything."""

    failure_code: str


class Provider(Protocol):
    """Takes money and gives it back.

    Both methods raise ProviderUnavailableError when the outcome is unknown,
    and may be called again with the same ids: the provider does the work once.
    """

    async def charge(
        self, payment_id: uuid.UUID, amount: Money, source: Source
    ) -> Charged | Declined:
        """Take `amount`; the payment's id is the idempotency key."""

    async def refund(
        self, refund_id: uuid.UUID, charge_id: str, amount: Money
    ) -> Returned | Rejected:
        """Give `amount` of a charge back; the refund's id is the idempotency key."""
