"""Takes out of spans, before they leave the process, what exceptions have to say.

Libraries record the exceptions that pass through their spans, and a driver's
exceptions quote values: `Key (email)=(…) already exists`. Which exception it
was is kept; its message and stack trace are in the service's own log, redacted.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

_DROPPED = frozenset({"exception.message", "exception.stacktrace"})


class DiscreetExporter(SpanExporter):
    """Exports through another exporter, without exceptions' messages and stack traces."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export copies of the spans."""
        return self._inner.export([discreet(span) for span in spans])

    def shutdown(self) -> None:
        """Stop the other exporter."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other exporter."""
        return self._inner.force_flush(timeout_millis)


def discreet(span: ReadableSpan) -> ReadableSpan:
    """Return the span as it may leave the process."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=[_without_text(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        # A status' description is mostly an exception's message again.
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _without_text(event: Event) -> Event:
    attributes = {
        key: value for key, value in (event.attributes or {}).items() if key not in _DROPPED
    }
    return Event(event.name, attributes, event.timestamp)
