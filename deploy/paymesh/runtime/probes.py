"""Is it ready? One question to each process, over the socket that it serves.

A probe returns None when ready and otherwise a few words about what is missing.
It never raises for a process that is not there yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions

Probe = Callable[[], Awaitable[str | None]]

_TIMEOUT_SECONDS = 2.0
_MAX_REPLY_BYTES = 1 << 20
_HEALTH = "/grpc.health.v1.Health/Check"
_EMPTY_MESSAGE = b"\0\0\0\0\0"
_SERVING = b"\x08\x01"
_OK = 200


def tcp(host: str, port: int) -> Probe:
    """Ready when somebody accepts connections at the port."""

    async def probe() -> str | None:
        return await _guarded(_connect(asyncio.open_connection(host, port)), f"port {port}")

    return probe


def unix(socket: Path) -> Probe:
    """Ready when somebody accepts connections at the socket."""

    async def probe() -> str | None:
        return await _guarded(_connect(asyncio.open_unix_connection(str(socket))), socket.name)

    return probe


def http(
    place: Path | tuple[str, int], target: str, *, token: str | None = None, body: str = ""
) -> Probe:
    """Ready when GET `target` answers 200 with `body` in the reply.

    Args:
        place: a Unix socket, or host and port.
        target: path and query.
        token: sent as a bearer token.
        body: text that must be in the reply's body.
    """

    async def ask() -> str | None:
        status, text = await get(place, target, token=token)
        if status != _OK:
            return f"{target} answers {status}"
        return None if body in text else f"{target} says {text.strip()[:60]!r}"

    async def probe() -> str | None:
        return await _guarded(ask(), target)

    return probe


def envoy(admin: Path) -> Probe:
    """Ready when Envoy has its certificates and every listener: `/ready` is 200 only
    then, since secrets are waited for without limit; a certificate is looked for as well.
    """

    async def ask() -> str | None:
        status, text = await get(admin, "/ready")
        if status != _OK:
            return text.strip().lower() or f"/ready answers {status}"
        _, certificates = await get(admin, "/certs")
        chains = [c.get("cert_chain") for c in json.loads(certificates).get("certificates", [])]
        return None if any(chains) else "no certificate yet"

    async def probe() -> str | None:
        return await _guarded(ask(), admin.name)

    return probe


def grpc_health(socket: Path) -> Probe:
    """Ready when grpc.health.v1 on a Unix socket says SERVING for the whole server."""

    async def probe() -> str | None:
        return await _guarded(_health(socket), socket.name)

    return probe


def all_of(*probes: Probe) -> Probe:
    """Ready when every probe is; says what the first one lacks."""

    async def probe() -> str | None:
        for one in probes:
            missing = await one()
            if missing is not None:
                return missing
        return None

    return probe


async def get(
    place: Path | tuple[str, int], target: str, *, token: str | None = None
) -> tuple[int, str]:
    """One HTTP/1.1 GET: (status, body). The connection is closed afterwards.

    Raises:
        OSError: nobody listens.
        ValueError: the answer is not HTTP.
    """
    opened = (
        asyncio.open_unix_connection(str(place))
        if isinstance(place, Path)
        else asyncio.open_connection(*place)
    )
    reader, writer = await opened
    try:
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{authorization}"
            "Connection: close\r\n\r\n".encode("ascii")
        )
        await writer.drain()
        reply = await reader.read(_MAX_REPLY_BYTES)
        while more := await reader.read(_MAX_REPLY_BYTES):
            reply += more
            if len(reply) > _MAX_REPLY_BYTES:
                break
    finally:
        await _close(writer)
    head, _, body = reply.partition(b"\r\n\r\n")
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        body = _unchunked(body)
    return int(head.split(None, 2)[1]), body.decode(errors="replace")


def _unchunked(body: bytes) -> bytes:
    """The content of a chunked body (RFC 9112, 7.1).

    Raises:
        ValueError: it is cut off or malformed.
    """
    content = b""
    while True:
        size_text, _, rest = body.partition(b"\r\n")
        size = int(size_text.split(b";")[0], 16)
        if size == 0:
            return content
        content, body = content + rest[:size], rest[size + 2 :]


async def _guarded(asking: Awaitable[str | None], what: str) -> str | None:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            return await asking
    except TimeoutError:
        return f"{what} does not answer"
    except (OSError, ValueError, IndexError, h2.exceptions.ProtocolError) as error:
        return f"{what}: {getattr(error, 'strerror', None) or type(error).__name__}"


async def _connect(
    opening: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
) -> str | None:
    _, writer = await opening
    await _close(writer)
    return None


async def _health(socket: Path) -> str | None:
    """A gRPC call by hand: a client library would bring threads into a process that forks."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    try:
        connection.initiate_connection()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", _HEALTH),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        connection.send_headers(1, headers)
        connection.send_data(1, _EMPTY_MESSAGE, end_stream=True)
        message = b""
        while True:
            writer.write(connection.data_to_send())
            await writer.drain()
            data = await reader.read(65536)
            if not data:
                return "connection closed"
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    message += event.data or b""
                elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return "call refused"
                elif isinstance(event, h2.events.StreamEnded):
                    return None if message[5:] == _SERVING else "not serving"
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # the other side may have been faster
        await writer.wait_closed()
