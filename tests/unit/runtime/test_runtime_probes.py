"""Readiness, asked of small real servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from paymesh.runtime import probes


@contextlib.asynccontextmanager
async def answering(socket: Path, reply: bytes) -> AsyncIterator[None]:
    """A server that says the same to everybody."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(answer, str(socket))
    try:
        yield
    finally:
        server.close()
        await asyncio.sleep(0.01)  # lets the handlers end


def http_reply(status: str, body: str, headers: str = "") -> bytes:
    """A whole HTTP/1.1 response."""
    return f"HTTP/1.1 {status}\r\n{headers}\r\n{body}".encode()


async def test_a_socket_without_a_listener_is_not_ready(tmp_path: Path) -> None:
    """Missing or left over, each with words for it."""
    socket = tmp_path / "x.sock"
    for probe in (
        probes.unix(socket),
        probes.http(socket, "/"),
        probes.envoy(socket),
        probes.grpc_health(socket),
    ):
        assert "No such file" in str(await probe())
    async with answering(socket, b""):
        assert await probes.unix(socket)() is None
    assert await probes.unix(socket)() is not None


@pytest.mark.parametrize(
    ("reply", "ready"),
    [
        (http_reply("200 OK", "all well"), True),
        (http_reply("200 OK", "other"), False),
        (http_reply("503 Service Unavailable", "all well"), False),
        (b"", False),
        (b"garbage", False),
    ],
)
async def test_http_is_ready_by_status_and_body(tmp_path: Path, reply: bytes, ready: bool) -> None:  # noqa: FBT001
    """Anything else, HTTP or not, is not ready and raises nothing."""
    async with answering(tmp_path / "x.sock", reply):
        missing = await probes.http(tmp_path / "x.sock", "/health", body="well")()
    assert (missing is None) is ready


async def test_a_server_that_hangs_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bounded time, with words that say so."""
    monkeypatch.setattr(probes, "_TIMEOUT_SECONDS", 0.1)
    released = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    server = await asyncio.start_unix_server(hang, str(tmp_path / "x.sock"))
    assert await probes.http(tmp_path / "x.sock", "/")() == "/ does not answer"
    assert await probes.grpc_health(tmp_path / "x.sock")() == "x.sock does not answer"
    released.set()
    server.close()


@pytest.mark.parametrize(
    ("certificates", "missing"),
    [('{"certificates": [{"cert_chain": [{"path": "x"}]}]}', None), ("{}", "no certificate yet")],
)
async def test_envoy_needs_a_certificate(
    tmp_path: Path, certificates: str, missing: str | None
) -> None:
    """Live and without one is not ready; chunked replies are understood."""
    half = len(certificates) // 2
    parts = (certificates[:half], certificates[half:])
    chunked = "".join(f"{len(part):x}\r\n{part}\r\n" for part in parts if part) + "0\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /certs "):
            writer.write(http_reply("200 OK", chunked, "Transfer-Encoding: chunked\r\n"))
        else:
            writer.write(http_reply("200 OK", "LIVE"))
        writer.close()

    server = await asyncio.start_unix_server(answer, str(tmp_path / "admin.sock"))
    assert await probes.envoy(tmp_path / "admin.sock")() == missing
    server.close()


async def test_grpc_health_is_asked_as_the_protocol_has_it(tmp_path: Path) -> None:
    """A real gRPC server: serving, not serving, and without the service."""
    socket = tmp_path / "app.sock"
    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{socket}")
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await server.start()
    status = health_pb2.HealthCheckResponse
    try:
        for said, missing in ((status.SERVING, None), (status.NOT_SERVING, "not serving")):
            await servicer.set("", said)
            assert await probes.grpc_health(socket)() == missing
    finally:
        await server.stop(None)


async def test_the_first_that_is_missing_is_named() -> None:
    """Later probes are not asked."""

    async def ready() -> str | None:
        return None

    async def missing() -> str | None:
        return "this one"

    async def never() -> str | None:
        raise AssertionError("asked")

    assert await probes.all_of(ready, missing, never)() == "this one"
    assert await probes.all_of(ready, ready)() is None
