"""The provider, the ledger and bank-link in memory."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Callable
from typing import TypeVar

from meshkit.money import Money
from payments.domain import Source
from payments.errors import LedgerUnavailableError, ProviderUnavailableError
from payments.ports import Link, MerchantAccount, Transfer
from payments.providers import Charged, Declined, Rejected, Returned
from payments.testing.stepping import Turns

T = TypeVar("T")

KEY_LIFE = dt.timedelta(hours=24)


class Fault(enum.Enum):
    """What happens to the requests that are made."""

    NONE = enum.auto()
    LOST_REQUEST = enum.auto()
    LOST_ANSWER = enum.auto()


@dataclasses.dataclass(frozen=True)
class Movement:
    """Money that moved at the provider; `about` is the source, or the charge given back."""

    movement_id: str
    about: str
    amount: Money


class MemoryProvider:
    """A providers.Provider that forgets idempotency keys after a day, as it says it may.

    Sources that begin with tok_declined are declined; refunds of charges in
    `unrefundable` are rejected.
    """

    def __init__(self, turns: Turns, now: Callable[[], dt.datetime]) -> None:
        self._turns = turns
        self._now = now
        self._answers: dict[str, tuple[dt.datetime, object, object]] = {}
        self.fault = Fault.NONE
        self.charges: list[Movement] = []
        self.refunds: list[Movement] = []
        self.unrefundable = False

    async def charge(
        self, payment_id: uuid.UUID, amount: Money, source: Source
    ) -> Charged | Declined:
        """See providers.Provider."""

        def work() -> Charged | Declined:
            if source.reference.startswith("tok_declined"):
                return Declined("card_declined")
            charge = Movement(f"ch_{len(self.charges)}", source.reference, amount)
            self.charges.append(charge)
            return Charged(charge.movement_id)

        return await self._once(f"payment-{payment_id}", (amount, source), work)

    async def refund(
        self, refund_id: uuid.UUID, charge_id: str, amount: Money
    ) -> Returned | Rejected:
        """See providers.Provider."""

        def work() -> Returned | Rejected:
            if self.unrefundable:
                return Rejected("charge_disputed")
            refund = Movement(f"re_{len(self.refunds)}", charge_id, amount)
            self.refunds.append(refund)
            return Returned(refund.movement_id)

        return await self._once(f"refund-{refund_id}", (charge_id, amount), work)

    async def _once(self, key: str, parameters: object, work: Callable[[], T]) -> T:
        await self._turns.turn()
        if self.fault is Fault.LOST_REQUEST:
            raise ProviderUnavailableError
        known = self._answers.get(key)
        if known is None or self._now() - known[0] >= KEY_LIFE:
            known = (self._now(), parameters, work())
            self._answers[key] = known
        if known[1] != parameters:
            raise AssertionError("the idempotency key was used with other parameters")
        fault = self.fault
        await self._turns.turn()
        if fault is Fault.LOST_ANSWER:
            raise ProviderUnavailableError
        return known[2]  # type: ignore[return-value]  # what work returned for this key


class MemoryLedger:
    """A ports.Ledger; `balances` are minor units, and what is posted sums to zero."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._posted: dict[uuid.UUID, tuple[Transfer, uuid.UUID]] = {}
        self._clearing: dict[tuple[str, str], uuid.UUID] = {}
        self.accounts: dict[uuid.UUID, MerchantAccount] = {}
        self.fault = Fault.NONE

    @property
    def transfers(self) -> list[Transfer]:
        """What was posted, in that order."""
        return [transfer for transfer, _ in self._posted.values()]

    def balance(self, account_id: uuid.UUID) -> int:
        """Minor units of an account."""
        credit = sum(
            t.amount.minor_units for t in self.transfers if t.credit_account_id == account_id
        )
        debit = sum(
            t.amount.minor_units for t in self.transfers if t.debit_account_id == account_id
        )
        return credit - debit

    async def account(self, account_id: uuid.UUID) -> MerchantAccount | None:
        """See ports.Ledger."""
        await self._turns.turn()
        if self.fault is not Fault.NONE:
            raise LedgerUnavailableError
        return self.accounts.get(account_id)

    async def clearing_account(self, legal_entity: str, currency_code: str) -> uuid.UUID:
        """See ports.Ledger."""
        await self._turns.turn()
        if self.fault is not Fault.NONE:
            raise LedgerUnavailableError
        return self._clearing.setdefault((legal_entity, currency_code), uuid.uuid4())

    async def post(self, transfer: Transfer) -> uuid.UUID:
        """See ports.Ledger."""
        await self._turns.turn()
        if self.fault is Fault.LOST_REQUEST:
            raise LedgerUnavailableError
        first, transfer_id = self._posted.setdefault(transfer.request_id, (transfer, uuid.uuid4()))
        if first != transfer:
            raise AssertionError("the request id was used with another transfer")
        fault = self.fault
        await self._turns.turn()
        if fault is Fault.LOST_ANSWER:
            raise LedgerUnavailableError
        return transfer_id


class MemoryLinks:
    """A ports.Links."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.links: dict[uuid.UUID, Link] = {}
        self.is_available = True

    async def link(self, link_id: uuid.UUID) -> Link | None:
        """See ports.Links."""
        await self._turns.turn()
        if not self.is_available:
            raise ProviderUnavailableError
        return self.links.get(link_id)
