"""Continues the trace that the sidecar passes on in `traceparent` (W3C Trace Context)."""

from __future__ import annotations

import grpc
from opentelemetry.instrumentation.grpc import (  # type: ignore[import-untyped]
    aio_server_interceptor,
    filters,
)


def tracing_interceptor() -> grpc.aio.ServerInterceptor:
    """Return OpenTelemetry's own interceptor, for all calls but health checks."""
    interceptor: grpc.aio.ServerInterceptor = aio_server_interceptor(
        filter_=filters.negate(filters.health_check())
    )
    return interceptor
