"""Every call has a deadline: the caller's, but no later than the limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from meshkit.errors import DeadlineExceeded
from meshkit.interceptors.base import CallInterceptor, Rpc

MAX_CALL_SECONDS = 15.0

deadline: ContextVar[float] = ContextVar("paymesh_deadline")
"""When the call must be finished, as `time.monotonic()` counts."""


class DeadlineInterceptor(CallInterceptor):
    """Stops a call at its deadline with DEADLINE_EXCEEDED; health may be watched and is exempt."""

    def __init__(self, max_seconds: float = MAX_CALL_SECONDS) -> None:
        super().__init__()
        self._max_seconds = max_seconds

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        """Bound the call. Raises DeadlineExceeded."""
        if rpc.is_health:
            yield
            return
        remaining_seconds = rpc.context.time_remaining()
        limit_seconds = (
            self._max_seconds
            if remaining_seconds is None
            else min(remaining_seconds, self._max_seconds)
        )
        token = deadline.set(time.monotonic() + limit_seconds)
        timeout = asyncio.timeout(limit_seconds)
        try:
            async with timeout:
                yield
        except TimeoutError:
            # A TimeoutError of the handler's own is no deadline.
            if timeout.expired():
                raise DeadlineExceeded from None
            raise
        finally:
            deadline.reset(token)
