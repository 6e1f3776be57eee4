"""A program: passes connections at a TCP port on to a Unix socket.

    python -I program.py SOCKET ADDRESS:PORT [ADDRESS:PORT ...]

It runs until it is ended, and imports nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_MOST_CONNECTIONS = 64
_CHUNK_BYTES = 1 << 16
_CONNECT_SECONDS = 5.0
_LONGEST_SECONDS = 120.0


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _relay(target: str, inner: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    reader, writer = inner
    async with asyncio.timeout(_CONNECT_SECONDS):
        from_target, to_target = await asyncio.open_unix_connection(target)
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            await asyncio.gather(_copy(reader, to_target), _copy(from_target, writer))
    finally:
        to_target.close()


async def _serve(target: str, places: list[tuple[str, str]]) -> None:
    free = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            async with free:
                await _relay(target, (reader, writer))
        writer.close()

    servers = [await asyncio.start_server(accept, host, int(port)) for host, port in places]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _place(text: str) -> tuple[str, str]:
    host, _, port = text.rpartition(":")
    return host, port


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], [_place(text) for text in sys.argv[2:]]))
