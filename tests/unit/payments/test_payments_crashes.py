"""A crash at any await, and whoever comes after it, charges once and posts once."""

from __future__ import annotations

import pytest

from payments.domain import State
from payments.errors import (
    IdempotencyKeyInUseError,
    LedgerUnavailableError,
    ProviderUnavailableError,
)
from payments.idempotency import Failure, Success
from payments.testing import Fault, Stepped, World
from paymesh.payments.v1 import payments_pb2

LEASE_SECONDS = 21.0
MOST_STEPS = 60


def _steps_of_a_payment() -> int:
    world = World()
    world.turns.stepping = True
    call = Stepped(world.create(world.create_command("k")))
    call.finish()
    return call.steps


STEPS = _steps_of_a_payment()


def _payment(answer: object) -> payments_pb2.Payment:
    assert isinstance(answer, Success)
    return payments_pb2.CreatePaymentResponse.FromString(answer.payload).payment


def _stopped_at(world: World, step: int) -> Stepped[object]:
    """A call that stands still at its step'th await."""
    world.turns.stepping = True
    call: Stepped[object] = Stepped(world.create(world.create_command("k")))
    for _ in range(step):
        call.step()
    world.turns.stepping = False
    return call


def test_the_sweep_covers_every_await() -> None:
    """A payment has a known number of awaits, so that the sweeps below go through all of them."""
    assert 10 < STEPS < MOST_STEPS


@pytest.mark.parametrize("step", range(1, STEPS))
async def test_killed_call_is_finished_by_a_retry(step: int) -> None:
    """Killed at any await, the same key answers SUCCEEDED once the lease has run out."""
    world = World()
    _stopped_at(world, step).kill()
    world.pass_time(LEASE_SECONDS)
    answer = await world.create(world.create_command("k"))
    assert _payment(answer).state == payments_pb2.PAYMENT_STATE_SUCCEEDED
    assert len(world.provider.charges) == len(world.ledger.transfers) == 1
    assert await world.create(world.create_command("k")) == answer


@pytest.mark.parametrize("step", range(1, STEPS))
async def test_killed_call_is_finished_by_the_worker_if_it_may_have_charged(step: int) -> None:
    """Killed at any await, the worker leaves no charge without its posting."""
    world = World()
    _stopped_at(world, step).kill()
    world.pass_time(LEASE_SECONDS)
    while await world.work():
        pass
    assert len(world.provider.charges) == len(world.ledger.transfers)
    answer = await world.create(world.create_command("k"))
    assert _payment(answer).state == payments_pb2.PAYMENT_STATE_SUCCEEDED
    assert len(world.provider.charges) == len(world.ledger.transfers) == 1


@pytest.mark.parametrize("step", range(1, STEPS))
async def test_call_that_hung_past_its_lease_does_no_harm_when_it_goes_on(step: int) -> None:
    """Whoever took over answers, and the first call, going on late, gives the same answer."""
    world = World()
    hanging = _stopped_at(world, step)
    world.pass_time(LEASE_SECONDS)
    answer = await world.create(world.create_command("k"))
    # At the last pauses it had finished already, and everybody else hears that.
    assert hanging.finish() == answer
    assert len(world.provider.charges) == len(world.ledger.transfers) == 1


@pytest.mark.parametrize("step", range(1, STEPS))
async def test_second_call_while_the_first_runs_is_told_to_wait(step: int) -> None:
    """At any await of the first call a second one is told when to come again, or the answer."""
    world = World()
    first = _stopped_at(world, step)
    command = world.create_command("k")
    retry_after_seconds: float | None = None
    try:
        early = await world.create(command)
    except IdempotencyKeyInUseError as error:
        retry_after_seconds = error.retry_after_seconds
        first.finish()
        early = await world.create(command)
    assert retry_after_seconds is None or 0 < retry_after_seconds <= 2
    # Only before the reservation and after the answer is there nothing to wait for.
    assert (retry_after_seconds is None) == (step in (1, STEPS - 1))
    assert _payment(early).state == payments_pb2.PAYMENT_STATE_SUCCEEDED
    assert first.finish() == early
    assert len(world.provider.charges) == len(world.ledger.transfers) == 1


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER])
async def test_unknown_charge_is_unavailable_and_then_finished(fault: Fault) -> None:
    """A charge without an answer is never taken for a failure; the same key gets the outcome."""
    world = World()
    command = world.create_command("k")
    world.provider.fault = fault
    with pytest.raises(ProviderUnavailableError) as raised:
        await world.create(command)
    assert raised.value.retry_after_seconds is not None
    world.provider.fault = Fault.NONE
    answer = await world.create(command)
    assert _payment(answer).state == payments_pb2.PAYMENT_STATE_SUCCEEDED
    assert len(world.provider.charges) == len(world.ledger.transfers) == 1


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER])
async def test_unknown_posting_is_unavailable_and_then_finished(fault: Fault) -> None:
    """A posting without an answer is never taken for a failure; the same key gets the outcome."""
    world = World()
    command = world.create_command("k")
    world.turns.stepping = True
    call = Stepped(world.create(command))
    while not world.provider.charges:
        call.step()
    world.turns.stepping = False
    world.ledger.fault = fault
    with pytest.raises(LedgerUnavailableError):
        call.finish()
    world.ledger.fault = Fault.NONE
    answer = await world.create(command)
    assert _payment(answer).state == payments_pb2.PAYMENT_STATE_SUCCEEDED
    assert len(world.provider.charges) == len(world.ledger.transfers) == 1


async def test_unavailable_payment_waits_for_the_worker_longer_each_time() -> None:
    """The worker leaves an operation that fails again alone for its backoff."""
    world = World()
    world.provider.fault = Fault.LOST_ANSWER
    with pytest.raises(ProviderUnavailableError):
        await world.create(world.create_command("k"))
    taken = []
    for _ in range(64):
        taken.append(await world.work())
        world.pass_time(1)
    # 1, 2, 4, 8, 16, 32 seconds apart.
    assert sum(taken) == 6
    world.provider.fault = Fault.NONE
    world.pass_time(300)
    assert await world.work() == 1
    assert len(world.provider.charges) == len(world.ledger.transfers) == 1


async def test_charge_is_not_sent_again_once_the_provider_may_have_forgotten_it() -> None:
    """After 23 hours an unknown outcome stays unknown: a second charge is worse than a wait."""
    world = World()
    world.provider.fault = Fault.LOST_ANSWER
    command = world.create_command("k")
    with pytest.raises(ProviderUnavailableError):
        await world.create(command)
    world.provider.fault = Fault.NONE
    world.pass_time(25 * 3600)
    assert await world.work() == 1
    with pytest.raises(ProviderUnavailableError):
        await world.create(command)
    assert len(world.provider.charges) == 1
    assert world.ledger.transfers == []
    (operation,) = world.store.operations.values()
    payment = await world.store.payment(operation.lease.operation_id)
    assert payment is not None
    assert payment.state is State.PENDING


async def test_declined_payment_is_answered_again_and_not_charged_again() -> None:
    """A decline is the key's answer for ever, with its code, and leaves no token behind."""
    world = World()
    command = world.create_command("k", source="tok_declined")
    first = await world.create(command)
    assert isinstance(first, Failure)
    assert (first.code, first.reason) == ("FAILED_PRECONDITION", "PAYMENT_DECLINED")
    assert first.metadata == {"decline_code": "card_declined"}
    assert await world.create(command) == first
    (operation,) = world.store.operations.values()
    payment = await world.store.payment(operation.lease.operation_id)
    assert payment is not None
    assert payment.source is None
    assert payment.state is State.FAILED
    assert world.ledger.transfers == []
