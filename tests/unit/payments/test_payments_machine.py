"""Any order of calls, retries, deaths, lost messages and worker runs moves the money once."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from payments.domain import Payment, Stage
from payments.errors import PaymentsError
from payments.idempotency import Answer, Success
from payments.testing import Fault, Stepped, World
from paymesh.payments.v1 import payments_pb2

LEASE_SECONDS = 20.0
WINDOW_SECONDS = 25 * 3600
KEYS = ("k0", "k1")
REFUND_KEYS = ("r0", "r1")
# Different for each key, so that what moved tells whose it was.
MINOR_UNITS = {"k0": 1000, "k1": 2000}
SOURCES = {"k0": "tok_visa0", "k1": "tok_visa1"}


class Fate(enum.Enum):
    """What becomes of a process after some steps."""

    ENDS = enum.auto()
    HANGS = enum.auto()
    KILLED = enum.auto()


MOST_STEPS = 200
STEPS = st.integers(1, 20)
FATES = st.sampled_from(Fate)


@dataclasses.dataclass
class Process:
    """A call or a run of the worker, and what it is about."""

    call: Stepped[Any]
    key: str


@settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
class Payments(RuleBasedStateMachine):
    """Processes that are moved on, left hanging and killed at any await."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.turns.stepping = True
        self.processes: list[Process] = []
        self.answers: dict[str, Answer] = {}
        self.refund_requests: dict[str, tuple[uuid.UUID, int | None]] = {}

    @rule(key=st.sampled_from(KEYS), steps=STEPS, fate=FATES)
    def client_calls(self, key: str, steps: int, fate: Fate) -> None:
        """A first call or a retry: the client knows no difference."""
        command = self.world.create_command(key, SOURCES[key], MINOR_UNITS[key])
        self._begin(key, self.world.create(command), steps, fate)

    @rule(
        key=st.sampled_from(REFUND_KEYS),
        payment=st.sampled_from(KEYS),
        minor_units=st.sampled_from([None, 1, 600, 1000]),
        steps=STEPS,
        fate=FATES,
    )
    def operator_refunds(
        self, key: str, payment: str, minor_units: int | None, steps: int, fate: Fate
    ) -> None:
        """A first refund, or the same again."""
        answer = self.answers.get(payment)
        if isinstance(answer, Success) and key not in self.refund_requests:
            made = payments_pb2.CreatePaymentResponse.FromString(answer.payload).payment
            self.refund_requests[key] = (uuid.UUID(made.payment_id), minor_units)
        if key in self.refund_requests:
            self._begin(key, self.world.refund(key, *self.refund_requests[key]), steps, fate)

    @rule(steps=STEPS, fate=FATES)
    def worker_runs(self, steps: int, fate: Fate) -> None:
        """A worker wakes up."""
        self._begin("worker", self.world.work(), steps, fate)

    @precondition(lambda self: self.processes)
    @rule(data=st.data(), steps=STEPS, fate=FATES)
    def process_goes_on(self, data: st.DataObject, steps: int, fate: Fate) -> None:
        """One that hung gets the processor again."""
        self._move(data.draw(st.sampled_from(self.processes)), steps, fate)

    @rule(seconds=st.sampled_from([1.0, LEASE_SECONDS + 1, 400.0, WINDOW_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        """Leases run out while processes hang; after a day the provider has forgotten."""
        if seconds == WINDOW_SECONDS:
            # No execution lasts that long.
            self._kill_all()
        self.world.pass_time(seconds)

    @rule(partner=st.sampled_from(["provider", "ledger"]), fault=st.sampled_from(Fault))
    def network_changes(self, partner: str, fault: Fault) -> None:
        """Requests or answers get lost, or arrive again."""
        getattr(self.world, partner).fault = fault

    @invariant()
    def each_key_charged_once(self) -> None:
        """At most one charge for each key, whatever the provider has forgotten."""
        sources = Counter(charge.about for charge in self.world.provider.charges)
        assert all(count == 1 for count in sources.values())

    @invariant()
    def each_charge_posted_once(self) -> None:
        """A posting belongs to one charge."""
        posted = Counter(
            transfer.amount.minor_units
            for transfer in self.world.ledger.transfers
            if transfer.credit_account_id == self.world.merchant
        )
        charged = Counter(charge.amount.minor_units for charge in self.world.provider.charges)
        assert posted <= charged

    @invariant()
    def never_more_given_back_than_taken(self) -> None:
        """The refunds of a charge add up to no more than the charge."""
        given_back: Counter[str] = Counter()
        for refund in self.world.provider.refunds:
            given_back[refund.about] += refund.amount.minor_units
        taken = {c.movement_id: c.amount.minor_units for c in self.world.provider.charges}
        assert all(total <= taken[charge] for charge, total in given_back.items())
        assert len(self.world.provider.refunds) <= len(self.refund_requests)

    def teardown(self) -> None:
        """Once everything works again, everything that was begun is finished."""
        self._kill_all()
        world = self.world
        world.turns.stepping = False
        world.provider.fault = world.ledger.fault = Fault.NONE
        for _ in range(3):
            world.pass_time(400.0)
            Stepped(world.work()).finish()
        for key in self._keys_used():
            self._ask_again(key)
        self.each_key_charged_once()
        self.never_more_given_back_than_taken()
        if not self._held():
            taken = sum(c.amount.minor_units for c in world.provider.charges)
            back = sum(r.amount.minor_units for r in world.provider.refunds)
            assert world.ledger.balance(world.merchant) == taken - back

    def _begin(self, key: str, coroutine: Any, steps: int, fate: Fate) -> None:
        process = Process(Stepped(coroutine), key)
        self.processes.append(process)
        self._move(process, steps, fate)

    def _move(self, process: Process, steps: int, fate: Fate) -> None:
        for _ in range(MOST_STEPS if fate is Fate.ENDS else steps):
            process.call.step()
        if fate is Fate.KILLED and not process.call.is_over:
            self.processes.remove(process)
            process.call.kill()
        self._collect()

    def _collect(self) -> None:
        """Look at what the processes answered that have ended."""
        for process in [p for p in self.processes if p.call.is_over]:
            self.processes.remove(process)
            if process.call.error is not None:
                assert isinstance(process.call.error, PaymentsError)
            elif process.key != "worker":
                answer = process.call.result
                assert answer is not None
                assert self.answers.setdefault(process.key, answer) == answer

    def _kill_all(self) -> None:
        for process in self.processes:
            process.call.kill()
        self.processes.clear()

    def _keys_used(self) -> set[str]:
        return {*self.answers, *self.refund_requests}

    def _ask_again(self, key: str) -> None:
        """The same call again gives the same answer."""
        if key in KEYS:
            command = self.world.create_command(key, SOURCES[key], MINOR_UNITS[key])
            call = Stepped(self.world.create(command))
        else:
            call = Stepped(self.world.refund(key, *self.refund_requests[key]))
        while call.step():
            pass
        if call.error is None:
            assert call.result is not None
            assert self.answers.setdefault(key, call.result) == call.result
        else:
            assert isinstance(call.error, PaymentsError)
            assert call.error.reason == "PROVIDER_UNAVAILABLE"
            assert self._held()

    def _held(self) -> bool:
        """Whether an outcome was lost for so long that a person has to look it up."""
        payments: list[Payment] = list(self.world.store.stored_payments())
        unfinished = any(p.stage is Stage.CHARGING for p in payments)
        return unfinished or any(
            p.set_aside_minor_units != p.refunded_minor_units for p in payments
        )


TestPayments = Payments.TestCase
TestPayments.__doc__ = "The state machine above, under Hypothesis."
