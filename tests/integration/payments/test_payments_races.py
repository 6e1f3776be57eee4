"""Many calls at once, in two pools as of two processes, over a real PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from meshkit.context import activate
from meshkit.testing import call_context
from payments.errors import IdempotencyKeyInUseError, PaymentsError
from payments.finisher import Finisher
from payments.guard import Guard
from payments.handlers import CreatePayment, FinishWork, RefundPayment
from payments.idempotency import Answer, Failure, Success
from payments.store import PostgresStore
from payments.testing import Turns, World
from payments.testing.world import ALICE, OLIVIA
from paymesh.payments.v1 import payments_pb2

CALLS = 50
LEASE_SECONDS = 5.0


class Yielding(Turns):
    """Stand-ins that give way to the others wherever they would pause."""

    async def turn(self) -> None:
        """Let the others run."""
        await asyncio.sleep(0.002)


class Service:
    """Two instances of the service over one database and the same partners."""

    def __init__(self, make_store: Callable[[float], PostgresStore], lease_seconds: float) -> None:
        self.world = World()
        turns = Yielding()
        self.world.provider._turns = self.world.ledger._turns = turns
        self._instances = [self._instance(make_store(lease_seconds)) for _ in range(2)]

    def _instance(self, store: PostgresStore) -> tuple[Any, Any, Any, PostgresStore]:
        world = self.world
        finisher = Finisher(store, world.provider, world.ledger, world._clock)
        guard = Guard(store)
        create = CreatePayment(guard, store, world.ledger, world.links, world.policy, finisher)
        refund = RefundPayment(guard, store, world.policy, finisher)
        return create, refund, FinishWork(guard, store, finisher), store

    async def create(self, number: int, key: str) -> Answer:
        """A call to one of the instances."""
        with activate(call_context("gateway", ALICE)):
            return await self._instances[number % 2][0](ALICE, self.world.create_command(key))

    async def answered(self, number: int, key: str) -> Answer:
        """The same call, repeated while it is told to."""
        for _ in range(100):
            try:
                return await self.create(number, key)
            except IdempotencyKeyInUseError:
                await asyncio.sleep(0.05)
        pytest.fail("the key stayed in use")

    async def refund(self, number: int, key: str, payment_id: uuid.UUID, amount: int) -> Answer:
        """A refund at one of the instances."""
        command = self.world.refund_command(key, payment_id, amount)
        with activate(call_context("gateway", OLIVIA)):
            return await self._instances[number % 2][1](OLIVIA, command)

    async def work(self, number: int) -> int:
        """A run of one instance's worker."""
        _, _, finish, store = self._instances[number % 2]
        claimed = await store.claim(8)
        await asyncio.gather(*(finish(work) for work in claimed))
        return len(claimed)


async def _kind(call: Any) -> str:
    try:
        answer = await call
    except PaymentsError as error:
        return error.reason
    return answer.reason if isinstance(answer, Failure) else "OK"


async def test_fifty_calls_with_one_key_charge_once(
    make_store: Callable[[float], PostgresStore],
) -> None:
    """One call executes, the others are told to wait; asked again, all hear the same bytes."""
    service = Service(make_store, LEASE_SECONDS)
    kinds = Counter(
        await asyncio.gather(*(_kind(service.create(number, "k")) for number in range(CALLS)))
    )
    assert kinds["OK"] >= 1
    assert kinds["OK"] + kinds["IDEMPOTENCY_KEY_IN_USE"] == CALLS
    assert len(service.world.provider.charges) == len(service.world.ledger.transfers) == 1
    answers = await asyncio.gather(*(service.create(number, "k") for number in range(CALLS)))
    assert len({answer.payload for answer in answers if isinstance(answer, Success)}) == 1
    assert len(service.world.provider.charges) == len(service.world.ledger.transfers) == 1


async def test_fifty_calls_that_race_for_a_lease_that_ran_out_charge_once(
    make_store: Callable[[float], PostgresStore],
) -> None:
    """Leases that run out at once, so that holders overlap all the time, do no harm."""
    service = Service(make_store, 0.0)
    kinds = Counter(
        await asyncio.gather(*(_kind(service.create(number, "k")) for number in range(CALLS)))
    )
    assert set(kinds) <= {"OK", "IDEMPOTENCY_KEY_IN_USE"}
    await service.answered(0, "k")
    assert len(service.world.provider.charges) == len(service.world.ledger.transfers) == 1


async def test_fifty_keys_are_fifty_payments(
    make_store: Callable[[float], PostgresStore],
) -> None:
    """Calls with different keys do not hold each other up."""
    service = Service(make_store, LEASE_SECONDS)
    kinds = await asyncio.gather(
        *(_kind(service.create(number, f"k{number}")) for number in range(CALLS))
    )
    assert Counter(kinds) == {"OK": CALLS}
    assert len(service.world.provider.charges) == len(service.world.ledger.transfers) == CALLS


async def test_refunds_at_the_same_time_share_what_is_there(
    make_store: Callable[[float], PostgresStore],
) -> None:
    """Of twenty refunds of 300 of 1250 that begin together, four succeed."""
    service = Service(make_store, LEASE_SECONDS)
    answer = await service.create(0, "k")
    assert isinstance(answer, Success)
    payment = payments_pb2.CreatePaymentResponse.FromString(answer.payload).payment
    payment_id = uuid.UUID(payment.payment_id)
    kinds = await asyncio.gather(
        *(_kind(service.refund(number, f"r{number}", payment_id, 300)) for number in range(20))
    )
    assert Counter(kinds) == {"OK": 4, "REFUND_EXCEEDS_PAYMENT": 16}
    assert len(service.world.provider.refunds) == 4
    assert service.world.ledger.balance(service.world.merchant) == 50


async def test_two_workers_and_retries_finish_each_payment_once(
    make_store: Callable[[float], PostgresStore],
) -> None:
    """Workers of two processes and the clients' retries share what a crash has left."""
    service = Service(make_store, 0.5)
    tasks = [asyncio.create_task(service.create(n, f"k{n}")) for n in range(20)]
    for _ in range(5000):
        await asyncio.sleep(0.001)
        if len(service.world.provider.charges) >= 10:
            break
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.6)
    retries = [_kind(service.create(n, f"k{n}")) for n in range(0, 20, 3)]
    await asyncio.gather(service.work(0), service.work(1), *retries)
    for number in range(20):
        await service.answered(number, f"k{number}")
    assert len(service.world.provider.charges) == len(service.world.ledger.transfers) == 20
