"""Continues the trace that the sidecar passes on in `traceparent` (W3C Trace Context)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from opentelemetry import context, propagate, trace

from meshkit.interceptors.base import CallInterceptor, Rpc, code_of
from meshkit.telemetry import rpc_attributes, set_rpc_status, tracer

# Of the server's own making; the other codes say something about the call (OpenTelemetry's
# semantic conventions for RPC spans).
_SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class TracingInterceptor(CallInterceptor):
    """Makes a server span of each call; what the call raises stays out of it.

    A health check has none, and is logged under the asker's trace all the same.
    """

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        """Make the span current for the call."""
        if rpc.is_health:
            token = context.attach(propagate.extract(rpc.headers))
            try:
                yield
            finally:
                context.detach(token)
            return
        with tracer().start_as_current_span(
            rpc.method.removeprefix("/"),
            context=propagate.extract(rpc.headers),
            kind=trace.SpanKind.SERVER,
            attributes=rpc_attributes(rpc.method),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            code = grpc.StatusCode.OK
            try:
                yield
                code = code_of(rpc.context, otherwise=grpc.StatusCode.OK)
            except Exception:
                code = code_of(rpc.context, otherwise=grpc.StatusCode.UNKNOWN)
                raise
            except BaseException:
                code = grpc.StatusCode.CANCELLED
                raise
            finally:
                set_rpc_status(span, code, is_error=code in _SERVER_FAULTS)
