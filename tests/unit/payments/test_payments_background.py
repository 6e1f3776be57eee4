"""Executions outlive their callers, and the worker outlives whatever is broken."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence

import pytest

from meshkit.context import activate, current
from meshkit.testing import call_context
from payments.errors import LedgerUnavailableError, ProviderUnavailableError
from payments.executor import Executor
from payments.idempotency import Answer, Lease, Rpc, Success
from payments.ports import Work
from payments.worker import Worker


async def test_execution_goes_on_when_its_caller_is_cancelled() -> None:
    """A client that goes away stops waiting, not the payment; drain waits for the end."""
    executor = Executor(5.0)
    gate = asyncio.Event()
    done: list[str] = []

    async def work() -> None:
        await gate.wait()
        done.append("charged")

    caller = asyncio.create_task(executor.run(work()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.set()
    await executor.drain()
    assert done == ["charged"]


async def test_execution_is_not_bound_by_its_callers_deadline() -> None:
    """The context is the caller's but for the deadline, which is the execution's own."""
    late = time.monotonic() - 1

    async def work() -> float | None:
        assert current().grant == "test-grant"
        return current().remaining_seconds()

    with activate(call_context(deadline_seconds=late)):
        remaining = await Executor(5.0).run(work())
        assert current().deadline_seconds == late
    assert remaining is not None
    assert 4 < remaining <= 5


async def test_execution_that_takes_too_long_is_unavailable() -> None:
    """An execution ends before its lease does, with an outcome that is not known."""
    with pytest.raises(ProviderUnavailableError):
        await Executor(0.01).run(asyncio.sleep(5))


async def test_errors_of_an_execution_reach_the_caller() -> None:
    """What an execution raises is what the caller hears."""

    async def work() -> None:
        raise LedgerUnavailableError

    with pytest.raises(LedgerUnavailableError):
        await Executor(1.0).run(work())


class FakeClaims:
    """A store that has work a fixed number of times."""

    def __init__(self, batches: Sequence[int]) -> None:
        self._batches = list(batches)
        self.claims = 0

    async def claim(self, limit: int) -> Sequence[Work]:
        """See ports.Store."""
        self.claims += 1
        count = self._batches.pop(0) if self._batches else 0
        assert count <= limit
        return [Work(Lease(uuid.uuid4(), uuid.uuid4()), Rpc.CREATE_PAYMENT) for _ in range(count)]


class FakeFinish:
    """Finishes, hangs or breaks, in turn."""

    def __init__(self, outcomes: Sequence[object]) -> None:
        self._outcomes = list(outcomes)
        self.finished = 0

    async def __call__(self, _work: Work) -> Answer:
        """See handlers.FinishWork."""
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == "hang":
            await asyncio.sleep(60)
        self.finished += 1
        return Success(b"")


async def test_worker_is_not_stopped_by_work_that_fails() -> None:
    """Work that is turned away, hangs or is broken leaves the rest of its batch finished."""
    finish = FakeFinish([ProviderUnavailableError(), "hang", RuntimeError("broken"), "ok", "ok"])
    worker = Worker(FakeClaims([5]), finish, limit_seconds=0.05, poll_seconds=9)  # type: ignore[arg-type]  # the parts it needs
    assert await worker.run_once() == 5
    assert finish.finished == 2


async def test_worker_goes_on_at_once_only_after_a_full_batch() -> None:
    """A full batch means that there may be more; otherwise the worker rests."""
    claims = FakeClaims([2, 2, 1])
    worker = Worker(claims, FakeFinish(["ok"] * 5), limit_seconds=1, poll_seconds=60, batch=2)  # type: ignore[arg-type]  # the parts it needs
    task = asyncio.create_task(worker.run())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert claims.claims == 3
