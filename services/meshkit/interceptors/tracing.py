"""Continues the trace that the sidecar passes on in `traceparent` (W3C Trace Context)."""

from __future__ import annotations

from opentelemetry.instrumentation.grpc import aio_server_interceptor, filters

from meshkit.interceptors.base import ServerInterceptor


def tracing_interceptor() -> ServerInterceptor:
    """Return OpenTelemetry's own interceptor, for all calls but health checks."""
    interceptor: ServerInterceptor = aio_server_interceptor(  # type: ignore[no-untyped-call]
        filter_=filters.negate(filters.health_check())
    )
    return interceptor
