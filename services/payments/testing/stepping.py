"""Calls that a test moves on by hand, so that it chooses who runs when and who dies where.

The use cases await nothing but their ports, and every method of a stand-in
pauses before and after it does anything. A paused call that is never moved on
is a process that hangs; one that is killed is a process after kill -9.
"""

from __future__ import annotations

import contextvars
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Pause:
    def __await__(self) -> Generator[None, None, None]:
        yield


class Turns:
    """Where the stand-ins pause: nowhere, unless the test steps."""

    def __init__(self) -> None:
        self.stepping = False

    async def turn(self) -> None:
        """Pause until the call is moved on."""
        if self.stepping:
            await _Pause()


class Stepped(Generic[T]):
    """A coroutine that stands still until it is stepped."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        # As asyncio does for a task: what one call sets, the others do not see.
        self._context = contextvars.copy_context()
        self.is_over = False
        self.result: T | None = None
        self.error: Exception | None = None
        self.steps = 0

    def step(self) -> bool:
        """Run to the next pause; False once it is over."""
        if self.is_over:
            return False
        self.steps += 1
        try:
            self._context.run(self._coroutine.send, None)
        except StopIteration as stop:
            self.result, self.is_over = stop.value, True
        except Exception as error:  # noqa: BLE001  (kept for the test to look at)
            self.error, self.is_over = error, True
        return not self.is_over

    def finish(self) -> T:
        """Run to the end; its result. Raises what it raised."""
        while self.step():
            pass
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # None is a T when it was returned

    def kill(self) -> None:
        """End it where it stands; nothing of it runs any more but what has no await."""
        self.is_over = True
        self._context.run(self._coroutine.close)
