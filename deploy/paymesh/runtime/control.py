"""Requests to a running supervisor: one JSON line each way over a Unix socket of mode 0600.

For the demo, the checks and the tests, which stop or pause a process and see
what becomes of calls meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Iterator
from typing import Any

from paymesh.errors import ConfigError, StartError
from paymesh.paths import Paths
from paymesh.runtime import status

_TIMEOUT_SECONDS = 70.0
_MAX_LINE_BYTES = 1 << 20


def request(paths: Paths, operation: str, **fields: Any) -> dict[str, Any]:
    """Sends one request and returns the reply's fields.

    Raises:
        ConfigError: no mesh is up here, or it belongs to another user.
        StartError: the supervisor could not do it; its sentence.
    """
    line = json.dumps({"operation": operation, **fields}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            connection.connect(str(paths.control_socket))
            connection.sendall(line)
            with connection.makefile("rb") as file:
                reply = json.loads(file.readline(_MAX_LINE_BYTES))
    except PermissionError as error:
        raise ConfigError("the mesh belongs to another user: run as that user") from error
    except TimeoutError as error:
        raise StartError(f"the supervisor does not answer within {_TIMEOUT_SECONDS} s") from error
    except (OSError, ValueError) as error:
        raise ConfigError("no mesh is up here: run `paymesh up`") from error
    if not reply.get("ok"):
        raise StartError(str(reply.get("error", "the supervisor refused")))
    return dict(reply)


def stop_process(paths: Paths, name: str, number: signal.Signals | None = None) -> None:
    """Ends a process and leaves it stopped until `start_process`.

    Args:
        paths: of the running mesh.
        name: as `paymesh status` lists it.
        number: in place of the process's own stop signal.
    """
    request(paths, "stop", name=name, signal=number.name if number else None)


def start_process(paths: Paths, name: str) -> None:
    """Starts a stopped process and returns when it is ready."""
    request(paths, "start", name=name)


def restart(paths: Paths, name: str) -> None:
    """Stops and starts a process and returns when it is ready."""
    request(paths, "restart", name=name)


def kill(paths: Paths, name: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Signals a process as an accident would: the supervisor starts it again."""
    request(paths, "signal", name=name, signal=number.name)


def pause(paths: Paths, name: str) -> None:
    """Freezes a process: it neither works nor refuses connections."""
    request(paths, "signal", name=name, signal="SIGSTOP")


def resume(paths: Paths, name: str) -> None:
    """Lets a paused process go on."""
    request(paths, "signal", name=name, signal="SIGCONT")


def wait_ready(paths: Paths, name: str | None = None, timeout_seconds: float = 30.0) -> None:
    """Returns when a process, or all of them, are ready.

    Raises:
        StartError: they were not within `timeout_seconds`; says which.
    """
    request(paths, "wait", name=name, timeout_seconds=timeout_seconds)


def is_ready(paths: Paths, name: str) -> bool:
    """Whether a process is ready now, as far as the supervisor knows."""
    found = status.read(paths)
    process = found.process(name) if found and found.is_alive() else None
    return process is not None and process.state == "ready"


@contextlib.contextmanager
def stopped(paths: Paths, name: str) -> Iterator[None]:
    """A process is stopped inside the block and ready again after it."""
    stop_process(paths, name)
    try:
        yield
    finally:
        start_process(paths, name)


@contextlib.contextmanager
def paused(paths: Paths, name: str) -> Iterator[None]:
    """A process is frozen inside the block and ready again after it."""
    pause(paths, name)
    try:
        yield
    finally:
        resume(paths, name)
        wait_ready(paths, name)
