"""HTTP to the outside goes through the egress socket, within limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from meshkit import context, testing
from meshkit.config import AppConfig, ConfigError
from meshkit.http import MAX_RESPONSE_BYTES, egress_client

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C


class Outside:
    """Stands for the egress listener: notes requests."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer by path."""
        self.requests.append(request)
        if request.path == "/slow":
            await asyncio.sleep(20)
        if request.path == "/trickle":
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(200):
                await response.write(b"x")
                await asyncio.sleep(0.1)
            return response
        if request.path == "/long":
            return web.Response(body=b"x" * (MAX_RESPONSE_BYTES + 1))
        if request.path == "/elsewhere":
            return web.Response(status=302, headers={"location": "http://evil.test/"})
        if request.path == "/error":
            return web.Response(status=500, text="broken")
        return web.json_response({"body": await request.text()})


@pytest.fixture
def config(tmp_path: Path) -> AppConfig:
    """A configuration with an egress socket."""
    return testing.app_config(tmp_path)


@pytest.fixture
async def outside(config: AppConfig) -> AsyncIterator[Outside]:
    """The egress listener."""
    stands_in = Outside()
    runner = web.ServerRunner(web.Server(stands_in.answer, handler_cancellation=True))
    await runner.setup()
    await web.UnixSite(runner, str(config.egress_socket)).start()
    yield stands_in
    await runner.cleanup()


@pytest.fixture
async def client(config: AppConfig) -> AsyncIterator[httpx.AsyncClient]:
    """What is tested."""
    async with egress_client(config, "api.cards.test", timeout_seconds=0.5) as client:
        yield client


async def test_the_host_is_named_and_the_body_arrives(
    outside: Outside, client: httpx.AsyncClient
) -> None:
    """A request goes over the socket with the provider's host, and its answer comes back whole."""
    response = await client.post("/v1/charges", json={"amount": 1})
    assert response.json() == {"body": '{"amount":1}'}
    assert outside.requests[0].headers["host"] == "api.cards.test"


async def test_redirects_are_not_followed(outside: Outside, client: httpx.AsyncClient) -> None:
    """A provider that sends us elsewhere gets its answer handed up, not obeyed."""
    response = await client.get("/elsewhere")
    assert response.status_code == 302
    assert len(outside.requests) == 1


async def test_an_error_status_is_an_answer(outside: Outside, client: httpx.AsyncClient) -> None:
    """A 500 of the provider comes back with its body, for the service to judge."""
    response = await client.get("/error")
    assert (response.status_code, response.text) == (500, "broken")
    assert outside.requests


@pytest.mark.parametrize("path", ["/slow", "/trickle"])
async def test_the_whole_exchange_is_bounded(
    outside: Outside, client: httpx.AsyncClient, path: str
) -> None:
    """Neither silence nor a trickle of bytes holds a call longer than the timeout."""
    started = time.monotonic()
    with pytest.raises(httpx.TimeoutException):
        await client.get(path)
    assert time.monotonic() - started < 10
    assert outside.requests


async def test_the_calls_deadline_bounds_the_exchange(outside: Outside, config: AppConfig) -> None:
    """A call with less time left than the timeout waits no longer than that."""
    async with egress_client(config, "api.cards.test", timeout_seconds=15) as patient:
        started = time.monotonic()
        with (
            context.activate(testing.call_context(deadline_seconds=started + 0.3)),
            pytest.raises(httpx.TimeoutException),
        ):
            await patient.get("/slow")
        assert time.monotonic() - started < 10
    assert outside.requests


async def test_a_response_too_long_is_refused(outside: Outside, client: httpx.AsyncClient) -> None:
    """More than 1 MiB is a transport error, not memory."""
    with pytest.raises(httpx.TransportError):
        await client.get("/long", timeout=5)
    assert outside.requests


async def test_the_trace_is_passed_on(outside: Outside, client: httpx.AsyncClient) -> None:
    """The request carries the current trace's traceparent."""
    parent = SpanContext(TRACE_ID, 1, is_remote=True, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(parent)):
        await client.get("/")
    assert outside.requests[0].headers["traceparent"].split("-")[1] == f"{TRACE_ID:032x}"


async def test_the_environments_proxies_do_not_count(
    outside: Outside, config: AppConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that the environment names does not lead around the egress listener."""
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with egress_client(config, "api.cards.test") as client:
        assert (await client.get("/")).status_code == 200
    assert outside.requests


async def test_without_the_listener_it_is_a_transport_error(client: httpx.AsyncClient) -> None:
    """A missing egress socket is a connection error at once."""
    with pytest.raises(httpx.ConnectError):
        await client.get("/")


def test_a_workload_without_egress_has_no_client(tmp_path: Path) -> None:
    """A workload that names no externals cannot even make a client."""
    with pytest.raises(ConfigError):
        egress_client(testing.app_config(tmp_path, egress_socket=None))
