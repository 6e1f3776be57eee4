"""HTTP to the outside, through the workload's egress listener and nowhere else.

The listener is a Unix socket of the workload's Envoy; it lets through the hosts
that the workload names and makes the TLS connection itself. The app therefore
speaks plain HTTP, to `http://<host>`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import httpx
from opentelemetry import propagate, trace

from meshkit.config import AppConfig, ConfigError
from meshkit.context import current_or_none
from meshkit.telemetry import tracer

DEFAULT_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 2.0
MAX_RESPONSE_BYTES = 1024 * 1024
MAX_CONNECTIONS = 32
DEADLINE_MARGIN_SECONDS = 0.1

_SERVER_ERROR = 500


def egress_client(
    config: AppConfig, host: str = "", *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
) -> httpx.AsyncClient:
    """Return a client for `host`, such as `api.cards.test`; close it by `on_stop=[client.aclose]`.

    Follows no redirects, ignores the environment's proxies, and reads at most
    1 MiB of a response. Failures are httpx.TransportError, of which
    httpx.TimeoutException means: unknown whether it was carried out.
    Raises ConfigError when the workload has no egress listener.
    """
    if config.egress_socket is None:
        raise ConfigError("PAYMESH_EGRESS_SOCKET is not set.")
    transport = httpx.AsyncHTTPTransport(
        uds=str(config.egress_socket),
        retries=0,
        trust_env=False,
        limits=httpx.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=8, keepalive_expiry=30.0
        ),
    )
    return httpx.AsyncClient(
        transport=EgressTransport(transport, timeout_seconds),
        base_url=f"http://{host}" if host else "",
        timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
        follow_redirects=False,
        trust_env=False,
    )


class EgressTransport(httpx.AsyncBaseTransport):
    """Adds to a transport: the call's deadline, a span and `traceparent`, a limit on the response.

    The whole exchange, body included, is read within the limit of time.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, timeout_seconds: float) -> None:
        self._inner = inner
        self._timeout_seconds = timeout_seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises httpx.TransportError."""
        with tracer().start_as_current_span(
            f"HTTP {request.method}",
            kind=trace.SpanKind.CLIENT,
            attributes={
                "http.request.method": request.method,
                # The path may hold a reference; the host says enough.
                "server.address": request.url.host,
            },
            record_exception=False,
        ) as span:
            propagate.inject(request.headers)
            try:
                async with asyncio.timeout(self._limit_seconds()):
                    response = await self._inner.handle_async_request(request)
                    content = await _read(response, request)
            except TimeoutError as error:
                raise httpx.ReadTimeout("the call's time is up", request=request) from error
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= _SERVER_ERROR:
                span.set_status(trace.StatusCode.ERROR)
            return httpx.Response(
                response.status_code,
                headers=response.headers,
                stream=_Content(content),
                extensions=response.extensions,
            )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(kind, error, traceback)

    def _limit_seconds(self) -> float:
        call = current_or_none()
        remaining_seconds = call.remaining_seconds() if call else None
        if remaining_seconds is None:
            return self._timeout_seconds
        return min(self._timeout_seconds, max(remaining_seconds - DEADLINE_MARGIN_SECONDS, 0.0))


class _Content(httpx.AsyncByteStream):
    """A body that has been read already."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


async def _read(response: httpx.Response, request: httpx.Request) -> bytes:
    """Read the raw body, at most MAX_RESPONSE_BYTES of it."""
    chunks: list[bytes] = []
    size_bytes = 0
    try:
        async for chunk in response.stream:  # type: ignore[union-attr]
            size_bytes += len(chunk)
            if size_bytes > MAX_RESPONSE_BYTES:
                raise httpx.ReadError("the response is too long", request=request)
            chunks.append(chunk)
    finally:
        await response.aclose()
    return b"".join(chunks)
