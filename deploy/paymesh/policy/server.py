"""Hands signed bundles to policy decision points.

    python -m paymesh.policy.server --directory D --port N --tokens FILE
        [--address A --tls-cert FILE --tls-key FILE]

    GET /bundles/paymesh.tar.gz   with the workload's bearer token; ETag, If-None-Match and
                                  `Prefer: wait=N` as in OPA's documentation, "Bundle Service API"
    GET /bundles/shadow.tar.gz    the same for a candidate; 404 while there is none
    GET /health                   200 once there is a policy, 503 before

A poll that waits is answered as soon as the file changes, appears or goes away. The policy
itself never goes away: without its file the last one is served. The server holds no key:
whoever takes it over can withhold a bundle, not change one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import web

from paymesh.policy.certificate import Certificate
from paymesh.policy.names import FILE_NAME, SHADOW_FILE_NAME
from paymesh.policy.served import Served
from paymesh.policy.watching import follow

_FILE_NAMES = frozenset({FILE_NAME, SHADOW_FILE_NAME})
CONTENT_TYPE = "application/vnd.openpolicyagent.bundles"
LONGEST_WAIT_SECONDS = 60
MAX_WAITING = 256
_SHUTDOWN_SECONDS = 2.0
_WAIT = re.compile(r"(?:^|[;,\s])wait=(\d{1,5})(?:$|[;,\s])")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class TokensError(Exception):
    """The list of tokens cannot be used."""


def read_tokens(path: Path) -> tuple[bytes, ...]:
    """The SHA-256 digests in a file of lines `<hex digest> <workload>`; `#` begins a comment.

    Raises:
        TokensError: the file cannot be read, is empty or has another kind of line.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TokensError(f"{path} cannot be read: {error}") from error
    digests = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if not _DIGEST.fullmatch(words[0]):
            raise TokensError(f"{path}:{number} does not begin with a SHA-256 digest")
        digests.append(bytes.fromhex(words[0]))
    if not digests:
        raise TokensError(f"{path} lists no token, so nobody could fetch the policy")
    return tuple(digests)


class BundleServer:
    """The live policy's bundle and the candidate's."""

    def __init__(self, directory: Path, tokens: Sequence[bytes]) -> None:
        self._directory = directory
        self._tokens = tuple(tokens)
        self._live = Served(directory / FILE_NAME, outlives_file=True)
        self._shadow = Served(directory / SHADOW_FILE_NAME, outlives_file=False)
        self._waiting = 0
        self._closing = False

    def application(self) -> web.Application:
        """The three resources; anything else is 404 or 405."""
        application = web.Application(client_max_size=0)
        for name, handler in ((FILE_NAME, self._policy), (SHADOW_FILE_NAME, self._candidate)):
            application.router.add_get(f"/bundles/{name}", handler, allow_head=False)
        application.router.add_get("/health", self._health, allow_head=False)
        application.cleanup_ctx.append(self._follow)
        application.on_shutdown.append(self._wake)
        return application

    async def _health(self, _: web.Request) -> web.Response:
        if not self._live.data:
            return web.json_response({"status": "no bundle"}, status=503)
        return web.json_response({"status": "ok"})

    async def _policy(self, request: web.Request) -> web.Response:
        absent = web.HTTPServiceUnavailable(headers={"Retry-After": "1"})
        return await self._answer(request, self._live, absent)

    async def _candidate(self, request: web.Request) -> web.Response:
        return await self._answer(request, self._shadow, web.HTTPNotFound())

    async def _answer(
        self, request: web.Request, file: Served, absent: web.HTTPException
    ) -> web.Response:
        if not self._is_known(request.headers.get("Authorization", "")):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        if not file.data or _is_current(request, file):
            await self._wait_for_change(file, _wait_seconds(request))
        if not file.data:
            raise absent
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if _is_current(request, file):
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.data, content_type=CONTENT_TYPE, headers=headers)

    def _is_known(self, header: str) -> bool:
        """Every digest is compared, so that time does not tell which one came close."""
        scheme, _, token = header.partition(" ")
        found = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        matches = [hmac.compare_digest(found, known) for known in self._tokens]
        return scheme.lower() == "bearer" and any(matches)

    async def _wait_for_change(self, file: Served, seconds: int) -> None:
        if not seconds or self._closing:
            return
        if self._waiting >= MAX_WAITING:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            await file.next(seconds)
        finally:
            self._waiting -= 1

    async def _follow(self, _: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._reload())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _reload(self) -> None:
        """A bundle is put in its place whole, so there is nothing to wait for."""
        edits = follow(self._directory, wanted=_FILE_NAMES.__contains__, recursive=False)
        async with contextlib.aclosing(edits):
            async for _ in edits:
                self._live.load()
                self._shadow.load()

    async def _wake(self, _: web.Application) -> None:
        self._closing = True
        self._live.wake()
        self._shadow.wake()


def _is_current(request: web.Request, file: Served) -> bool:
    known = request.if_none_match or ()
    return bool(file.etag) and file.etag.strip('"') in {etag.value for etag in known}


def _wait_seconds(request: web.Request) -> int:
    """`wait` of RFC 7240 in seconds, at most LONGEST_WAIT_SECONDS; 0 without one."""
    for header in request.headers.getall("Prefer", []):
        match = _WAIT.search(header)
        if match:
            return min(int(match[1]), LONGEST_WAIT_SECONDS)
    return 0


async def serve(
    directory: Path,
    tokens: Sequence[bytes],
    address: str,
    port: int,
    certificate: Certificate | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; polls that wait are answered before it ends.

    Args:
        directory: where the bundle is.
        tokens: SHA-256 digests of the tokens that may have it.
        address: to listen on, with `port`.
        port: 1 to 65535.
        certificate: speaks TLS with it; plain HTTP without one.

    Raises:
        OSError: the port is in use.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        BundleServer(directory, tokens).application(),
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        context = certificate.context if certificate else None
        await web.TCPSite(runner, address, port, ssl_context=context).start()
        await (certificate.follow(stop) if certificate else stop.wait())
    finally:
        await runner.cleanup()


def _certificate(parsed: argparse.Namespace) -> Certificate | None:
    """Raises:
    ValueError: the arguments would send tokens over a network in the clear.
    OSError: the files are no certificate and its key.
    """
    if parsed.tls_cert and parsed.tls_key:
        return Certificate(parsed.tls_cert, parsed.tls_key)
    if parsed.tls_cert or parsed.tls_key:
        raise ValueError("--tls-cert and --tls-key go together")
    if not ipaddress.ip_address(parsed.address).is_loopback:
        raise ValueError(f"{parsed.address} is no loopback address: --tls-cert is needed")
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after SIGTERM or SIGINT, 1 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="paymesh.policy.server", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="where the bundle is")
    parser.add_argument("--address", default="127.0.0.1", help="beyond loopback only with TLS")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tokens", type=Path, required=True, help="SHA-256 digests, one a line")
    parser.add_argument("--tls-cert", type=Path, help="chain in PEM; a renewed one is picked up")
    parser.add_argument("--tls-key", type=Path, help="its private key in PEM")
    parsed = parser.parse_args(arguments)
    try:
        tokens = read_tokens(parsed.tokens)
        if not parsed.directory.is_dir():
            raise NotADirectoryError(f"{parsed.directory} is no directory")
        certificate = _certificate(parsed)
        asyncio.run(serve(parsed.directory, tokens, parsed.address, parsed.port, certificate))
    except (OSError, TokensError, ValueError) as error:
        sys.stderr.write(f"bundle server: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
