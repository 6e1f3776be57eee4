"""The use cases over the stand-ins, and a clock that the test moves."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from meshkit.context import User, activate
from meshkit.money import Money
from meshkit.testing import FakeObjectPolicy, call_context
from payments.door import CreateCommand, RefundCommand, parse_create
from payments.errors import PaymentsError
from payments.finisher import Finisher
from payments.guard import Guard
from payments.handlers import CreatePayment, FinishWork, RefundPayment
from payments.idempotency import Answer, hash_key
from payments.ports import MerchantAccount
from payments.testing.partners import MemoryLedger, MemoryLinks, MemoryProvider
from payments.testing.stepping import Turns
from payments.testing.store import MemoryStore
from paymesh.payments.v1 import payments_pb2

ALICE = User("alice", "acme", frozenset({"customer"}))
OLIVIA = User("olivia", "acme", frozenset({"operator"}))


class World:
    """One service and its partners. Time stands still until `pass_time`."""

    def __init__(self, policy: FakeObjectPolicy | None = None) -> None:
        self.now = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
        self.turns = Turns()
        self.store = MemoryStore(self.turns, self._clock)
        self.provider = MemoryProvider(self.turns, self._clock)
        self.ledger = MemoryLedger(self.turns)
        self.links = MemoryLinks(self.turns)
        self.policy = policy or FakeObjectPolicy(_rule)
        self.merchant = self.merchant_account("acme", "EUR")
        guard = Guard(self.store)
        finisher = Finisher(self.store, self.provider, self.ledger, self._clock)
        self._create = CreatePayment(
            guard, self.store, self.ledger, self.links, self.policy, finisher
        )
        self._refund = RefundPayment(guard, self.store, self.policy, finisher)
        self._finish = FinishWork(guard, self.store, finisher)

    def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self.now += dt.timedelta(seconds=seconds)

    def merchant_account(self, legal_entity: str, currency_code: str) -> uuid.UUID:
        """Open a merchant account in the ledger."""
        account_id = uuid.uuid4()
        self.ledger.accounts[account_id] = MerchantAccount(
            legal_entity, is_merchant=True, currency_code=currency_code
        )
        return account_id

    def create_command(
        self, key: str, source: str = "tok_visa", minor_units: int = 1250, currency: str = "EUR"
    ) -> CreateCommand:
        """A payment to the merchant, parsed as it would be at the door."""
        request = payments_pb2.CreatePaymentRequest(
            idempotency_key=key,
            payment_method_token=source,
            merchant_account_id=str(self.merchant),
            description="two coffees",
        )
        request.amount.CopyFrom(Money.of(currency, minor_units).to_proto())
        return parse_create(request)

    def refund_command(
        self, key: str, payment_id: uuid.UUID, minor_units: int | None
    ) -> RefundCommand:
        """A refund, parsed as it would be at the door; None: all that is left."""
        amount = None if minor_units is None else Money.of("EUR", minor_units)
        return RefundCommand(hash_key(key), payment_id, amount)

    async def create(self, command: CreateCommand, user: User = ALICE) -> Answer:
        """CreatePayment as a user of the gateway."""
        with activate(call_context("gateway", user)):
            return await self._create(user, command)

    async def refund(
        self, key: str, payment_id: uuid.UUID, minor_units: int | None, user: User = OLIVIA
    ) -> Answer:
        """RefundPayment as a user of the gateway."""
        with activate(call_context("gateway", user)):
            return await self._refund(user, self.refund_command(key, payment_id, minor_units))

    async def work(self) -> int:
        """One run of the worker, one operation after the other; how many it took up."""
        claimed = await self.store.claim(8)
        for work in claimed:
            try:
                await self._finish(work)
            except PaymentsError:
                continue
        return len(claimed)

    def _clock(self) -> dt.datetime:
        return self.now


def _rule(question: Mapping[str, object]) -> bool:
    """What policy says, in short: staff see their tenant, customers their own, operators refund."""
    user, facts = question["user"], question["object"]
    if not isinstance(user, Mapping) or not isinstance(facts, Mapping):
        return False
    if facts.get("tenant", user["tenant"]) != user["tenant"]:
        return False
    if question["action"] == "payments.refund":
        return "operator" in user["roles"]
    is_staff = bool({"operator", "auditor"} & set(user["roles"]))
    return is_staff or facts.get("owner") == user["sub"]
