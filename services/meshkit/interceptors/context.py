"""Turns the sidecar's headers into the CallContext of the call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from meshkit.context import activate, from_headers
from meshkit.interceptors.base import CallInterceptor, Rpc, record
from meshkit.interceptors.deadline import deadline


class ContextInterceptor(CallInterceptor):
    """Refuses, with NOT_THROUGH_SIDECAR, what no sidecar has vouched for; health is exempt."""

    def __init__(self, trust_domain: str) -> None:
        super().__init__()
        self._trust_domain = trust_domain

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        """Make the context current for the call. Raises NotThroughSidecar."""
        if rpc.is_health:
            yield
            return
        call = from_headers(rpc.headers, self._trust_domain, deadline.get(None))
        seen = record.get(None)
        if seen is not None:
            seen.caller = str(call.caller)
            seen.user = call.user.sub if call.user else ""
            seen.decision_id = call.decision_id
        with activate(call):
            yield
