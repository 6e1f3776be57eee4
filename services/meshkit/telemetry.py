"""OpenTelemetry: contexts are always passed on, spans are exported only where an endpoint is set.

Without an endpoint no SDK is loaded: the API's own no-op spans still carry the
caller's `traceparent` (W3C Trace Context) to the database and to callees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import grpc
from opentelemetry import trace

from meshkit.config import AppConfig

_MAX_QUEUE_SIZE = 2048
_EXPORT_TIMEOUT_SECONDS = 5
_FLUSH_TIMEOUT_MILLISECONDS = 3000


def set_up(config: AppConfig) -> Callable[[], None]:
    """Start exporting if the configuration names an OTLP endpoint; return what stops it.

    The endpoint is `http://host:port` (plaintext, to a collector beside the
    workload) or `https://host:port`. Call once in a process.
    """
    if config.otlp_endpoint is None:
        return lambda: None
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    from meshkit.span_export import DiscreetExporter  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create(
            {"service.name": config.workload, "service.namespace": config.trust_domain}
        )
    )
    exporter = OTLPSpanExporter(
        endpoint=config.otlp_endpoint,
        insecure=config.otlp_endpoint.startswith("http://"),
        timeout=_EXPORT_TIMEOUT_SECONDS,
    )
    provider.add_span_processor(
        BatchSpanProcessor(DiscreetExporter(exporter), max_queue_size=_MAX_QUEUE_SIZE)
    )
    trace.set_tracer_provider(provider)
    # Statements are recorded with their placeholders, never with their values.
    PsycopgInstrumentor().instrument(tracer_provider=provider, capture_parameters=False)

    def stop() -> None:
        provider.force_flush(_FLUSH_TIMEOUT_MILLISECONDS)
        provider.shutdown()

    return stop


def tracer() -> trace.Tracer:
    """Return the tracer of meshkit's own spans."""
    return trace.get_tracer("meshkit")


def trace_id() -> str:
    """Return the current trace id as 32 hexadecimal digits, empty outside of a trace."""
    span_context = trace.get_current_span().get_span_context()
    return format(span_context.trace_id, "032x") if span_context.is_valid else ""


def rpc_attributes(method: str) -> Mapping[str, str]:
    """Return the attributes of a gRPC span; `method` is `/package.Service/Method`."""
    service, _, name = method.removeprefix("/").partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}


def set_rpc_status(span: trace.Span, code: grpc.StatusCode, *, is_error: bool) -> None:
    """Set a gRPC span's status code."""
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if is_error:
        span.set_status(trace.StatusCode.ERROR)
