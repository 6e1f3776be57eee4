"""An end that no caller notices: Envoy sends callers elsewhere before the app stops.

In a cluster an ending pod is told so while callers still know its address. On
SIGTERM a service has its Envoy fail health: the pod is no longer ready, and each
answer from now on asks its connection to be closed (GOAWAY, or `connection: close`).
Calls are answered as before for PAYMESH_DRAIN_SECONDS, until nobody comes any more.

`python -m meshkit.drain` is the same for a pod whose Envoy has no app: it waits
for SIGTERM, drains, waits until no call is under way, and exits with 0.

Envoy's `/drain_listeners` is left alone: it adds nothing to failed health, and
cannot be taken back when only the app was restarted.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import sys
import time
from http import HTTPStatus
from pathlib import Path

from meshkit import logging
from meshkit.config import ConfigError, Draining, load_draining, load_log_level

ADMIN_TIMEOUT_SECONDS = 2.0
# Longer than any call may take (`request_timeout_seconds`, 15).
MAX_UNDER_WAY_SECONDS = 20.0

_POLL_SECONDS = 0.2
_MAX_ANSWER_BYTES = 65536
_EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h
_FAIL, _RECOVER = "/healthcheck/fail", "/healthcheck/ok"
_UNDER_WAY = "/stats?filter=downstream_rq_active$"
# Envoy's own door counts the question itself.
_ADMIN_STATISTIC = "http.admin."

_log = logging.get_logger(__name__)


async def drain(draining: Draining) -> None:
    """Have Envoy send callers elsewhere, and return when they have had the time to go.

    Never raises for Envoy's sake: one that cannot be reached is logged, and the
    time is given all the same, because the pod's address is withdrawn anyway.
    """
    await _tell(draining, _FAIL)
    await asyncio.sleep(draining.seconds)


async def recover(draining: Draining) -> None:
    """Take back what an earlier run of this container, ended alone, told Envoy."""
    await _tell(draining, _RECOVER)


async def _tell(draining: Draining, path: str) -> None:
    try:
        await asyncio.to_thread(ask_admin, draining.admin_socket, "POST", path)
    except (OSError, http.client.HTTPException) as error:
        _log.warning("sidecar not told", path=path, error=f"{type(error).__name__}: {error}")
    else:
        _log.info("sidecar told", path=path)


def ask_admin(admin_socket: Path, method: str, path: str) -> str:
    """Return the answer of Envoy's administration interface.

    Raises OSError when nobody answers in time, or not with 200, and
    http.client.HTTPException when it is no HTTP.
    """
    connection = http.client.HTTPConnection("envoy", timeout=ADMIN_TIMEOUT_SECONDS)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(ADMIN_TIMEOUT_SECONDS)
        connection.sock.connect(os.fspath(admin_socket))
        connection.request(method, path)
        response = connection.getresponse()
        text = response.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")
        if response.status != HTTPStatus.OK:
            raise OSError(f"{path} was answered with {response.status}")
        return text
    finally:
        connection.close()


def under_way(admin_socket: Path) -> int:
    """Return how many calls Envoy is answering now. Raises as `ask_admin` does."""
    lines = ask_admin(admin_socket, "GET", _UNDER_WAY).splitlines()
    return sum(
        int(line.rpartition(":")[2]) for line in lines if not line.startswith(_ADMIN_STATISTIC)
    )


async def _until_idle(admin_socket: Path) -> None:
    deadline = time.monotonic() + MAX_UNDER_WAY_SECONDS
    try:
        while (calls := await asyncio.to_thread(under_way, admin_socket)) > 0:
            if time.monotonic() > deadline:
                _log.warning("calls are cut off", calls=calls)
                return
            await asyncio.sleep(_POLL_SECONDS)
    except (OSError, ValueError, http.client.HTTPException) as error:
        _log.warning("sidecar not asked", error=f"{type(error).__name__}: {error}")


async def stand_by(draining: Draining) -> None:
    """Wait for SIGTERM or SIGINT, then drain and wait until no call is under way."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await recover(draining)
    await stopping.wait()
    await drain(draining)
    await _until_idle(draining.admin_socket)


def main() -> int:
    """Exit status: 0 once drained, 78 when the environment does not say what it must."""
    try:
        draining = load_draining()
        logging.configure(load_log_level(), "drain")
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return _EXIT_CONFIG
    if draining is None:
        sys.stderr.write("PAYMESH_ADMIN_SOCKET is not set.\n")
        return _EXIT_CONFIG
    asyncio.run(stand_by(draining))
    return 0


if __name__ == "__main__":
    sys.exit(main())
