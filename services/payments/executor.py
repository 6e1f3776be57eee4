"""Lets an execution run to its end although the call that began it is gone."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from meshkit.context import activate, current_or_none
from meshkit.logging import get_logger
from payments.errors import ProviderUnavailableError

_log = get_logger(__name__)
T = TypeVar("T")


class Executor:
    """Runs coroutines for at most `limit_seconds`, which must be less than a lease lasts.

    A client that goes away or runs out of time does not stop what it began:
    to stop between the charge and its record would only leave it to the worker.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. Raises what it raises."""
        task = asyncio.create_task(self._bounded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_alone)
            raise

    async def drain(self) -> None:
        """Wait until nothing runs any more; a stop hook, which has a limit of its own."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _bounded(self, work: Coroutine[Any, Any, T]) -> T:
        call = current_or_none()
        try:
            async with asyncio.timeout(self._limit_seconds):
                if call is None:
                    return await work
                # The client's deadline bounds how long it waits, not this.
                deadline_seconds = time.monotonic() + self._limit_seconds
                with activate(dataclasses.replace(call, deadline_seconds=deadline_seconds)):
                    return await work
        except TimeoutError:
            raise ProviderUnavailableError from None


def _log_alone(task: asyncio.Task[Any]) -> None:
    """Nobody hears the outcome any more: the log does."""
    error = None if task.cancelled() else task.exception()
    _log.info("finished after its caller left", error=type(error).__name__ if error else "")
