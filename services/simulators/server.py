"""Starts both servers, and stops them so that running calls are finished."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from simulators import banks, cards, idempotency
from simulators.database import Database, open_database
from simulators.errors import StartError
from simulators.options import BANK_DATA, CARD_PROCESSOR, Options

_DRAIN_SECONDS = 5.0
_KEEPALIVE_SECONDS = 30.0
_BACKLOG = 128

_log = logging.getLogger("simulators")


async def serve(options: Options) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        StartError: a port, a certificate or the state directory cannot be used.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(options) as (cards_port, banks_port):
        _log.info("serving cards at %d, banks at %d", cards_port, banks_port)
        await stop.wait()
        _log.info("stopping")


@contextlib.asynccontextmanager
async def running(options: Options) -> AsyncIterator[tuple[int, int]]:
    """Both servers for the length of the block; yields the ports of cards and banks.

    Raises:
        StartError: as `serve`.
    """
    async with contextlib.AsyncExitStack() as stack:
        cards_database = await _opened(stack, options.state_dir / "cards.sqlite", cards.SCHEMA)
        banks_database = await _opened(stack, options.state_dir / "banks.sqlite", banks.SCHEMA)
        cards_port = await _listen(
            stack,
            cards.CardProcessor(cards_database).application(options.key_digests[CARD_PROCESSOR]),
            (options.address, options.cards_port),
            _tls(options.tls_dir, "cards"),
        )
        banks_port = await _listen(
            stack,
            banks.BankData(banks_database).application(options.key_digests[BANK_DATA]),
            (options.address, options.banks_port),
            _tls(options.tls_dir, "banks"),
        )
        yield cards_port, banks_port


async def _opened(stack: contextlib.AsyncExitStack, path: Path, schema: str) -> Database:
    database = open_database(path, idempotency.SCHEMA + schema)
    stack.push_async_callback(database.close)
    return database


async def _listen(
    stack: contextlib.AsyncExitStack,
    app: web.Application,
    address: tuple[str, int],
    tls: ssl.SSLContext,
) -> int:
    runner = web.AppRunner(
        app,
        access_log=None,  # a path may hold a reference
        keepalive_timeout=_KEEPALIVE_SECONDS,
        shutdown_timeout=_DRAIN_SECONDS,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    host, port = address
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls, backlog=_BACKLOG).start()
    except OSError as error:
        raise StartError(f"cannot listen at {host}:{port}: {error.strerror}") from error
    bound: int = runner.addresses[0][1]
    return bound


def _tls(directory: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(directory / f"{name}.crt", directory / f"{name}.key")
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"{name}.crt and {name}.key in {directory} cannot be used: {error}"
        ) from error
    return context
