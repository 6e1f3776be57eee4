"""The gRPC server of a service, on the Unix socket that only its sidecar can open."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from meshkit import drain, logging, telemetry
from meshkit.config import AppConfig, ConfigError, load_config
from meshkit.health import Health
from meshkit.interceptors import server_interceptors

MAX_CONCURRENT_RPCS = 256
DRAIN_SECONDS = 10.0
STOP_HOOK_SECONDS = 5.0
BACKGROUND_BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)

_MAX_METADATA_BYTES = 16 * 1024
_MAX_SOCKET_PATH_BYTES = 107  # sun_path of Linux, less the final zero
_EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h
_OWNER_ONLY_UMASK = 0o177

_log = logging.get_logger(__name__)

Background = Callable[[], Coroutine[Any, Any, None]]
StopHook = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Registration:
    """A gRPC service to serve.

    `add` is the generated `add_…Servicer_to_server`, `descriptor` such as
    `ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"]`: its name is what
    health and reflection report.
    """

    add: Callable[[Any, grpc.aio.Server], None]
    servicer: object
    descriptor: ServiceDescriptor


async def serve(
    services: Sequence[Registration],
    config: AppConfig,
    *,
    on_stop: Sequence[StopHook] = (),
    background: Sequence[Background] = (),
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `stop` is set; then drain and return.

    With `config.draining` callers are first sent elsewhere while calls are still
    answered.

    Each of `background` is a coroutine function without arguments; it runs
    beside the server, is started again with growing pauses if it raises, and is
    cancelled when the server stops. `on_stop` runs last, in order, after the
    calls have drained: such as `pool.close`. Raises ConfigError when the socket
    cannot be had.
    """
    stopping = stop or asyncio.Event()
    server, health_servicer = await start(services, config)
    tasks = [asyncio.create_task(_kept_up(function)) for function in background]
    _log.info("serving", socket=str(config.app_socket))
    try:
        with _signals_set(stopping):
            if config.draining:
                await drain.recover(config.draining)
            await stopping.wait()
    finally:
        _log.info("draining")
        if config.draining:
            # Still serving: callers that have not heard of it yet are answered.
            await drain.drain(config.draining)
        # The sidecar asks for health and sends nothing new; what runs may finish.
        await health_servicer.enter_graceful_shutdown()
        await server.stop(DRAIN_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _run_hooks(on_stop)
        _log.info("stopped")


async def start(
    services: Sequence[Registration], config: AppConfig
) -> tuple[grpc.aio.Server, Health]:
    """Start a server with all interceptors, health and reflection. Raises ConfigError."""
    server = grpc.aio.server(
        interceptors=server_interceptors(config.trust_domain),
        maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS,
        options=(
            ("grpc.max_receive_message_length", config.max_message_bytes),
            ("grpc.max_send_message_length", config.max_message_bytes),
            ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
            # Identity only: policy cannot read a compressed message, so none is taken.
            ("grpc.compression_enabled_algorithms_bitset", 1),
            ("grpc.so_reuseport", 0),
        ),
    )
    names = [registration.descriptor.full_name for registration in services]
    health_servicer = Health(["", *names])
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    for registration in services:
        registration.add(registration.servicer, server)
    reflection.enable_server_reflection(
        [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server
    )
    _bind(server, config.app_socket)
    await server.start()
    for name in ("", *names):
        await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    return server, health_servicer


def run(main: Callable[[AppConfig], Coroutine[Any, Any, None]]) -> None:
    """Be a service's whole `__main__`: read the configuration, set up logs and traces, run `main`.

    When the configuration is missing or wrong: one sentence on stderr and exit status 78.
    """
    try:
        config = load_config()
        logging.configure(config.log_level, config.workload)
        stop_telemetry = telemetry.set_up(config)
        try:
            asyncio.run(main(config))
        finally:
            stop_telemetry()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_EXIT_CONFIG)


def _bind(server: grpc.aio.Server, path: Path) -> None:
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
        raise ConfigError(f"The socket path {path} is longer than {_MAX_SOCKET_PATH_BYTES} bytes.")
    _remove_stale(path)
    umask = os.umask(_OWNER_ONLY_UMASK)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise ConfigError(f"The socket {path} cannot be made.") from error
    finally:
        os.umask(umask)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a run that was killed; refuse to push out one that is alive."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} is in the way and is not a socket.")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        with suppress(OSError):
            probe.connect(str(path))
            raise ConfigError(f"Another process serves on {path}.")
    path.unlink(missing_ok=True)


class _signals_set:  # noqa: N801  # used as a statement
    """Within the block SIGTERM and SIGINT set the event instead of ending the process."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event
        self._installed: list[signal.Signals] = []

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            # Not in the main thread, as in some tests: then nobody sends signals to it.
            with suppress(ValueError, RuntimeError, NotImplementedError):
                loop.add_signal_handler(number, self._event.set)
                self._installed.append(number)

    def __exit__(self, *_exc: object) -> None:
        loop = asyncio.get_running_loop()
        for number in self._installed:
            loop.remove_signal_handler(number)


async def _kept_up(function: Background) -> None:
    """Run a background task for ever; what it raises is logged and it starts again."""
    failures = 0
    while True:
        try:
            await function()
        except Exception as error:  # noqa: BLE001  # it must not end the service
            pause_seconds = BACKGROUND_BACKOFF_SECONDS[
                min(failures, len(BACKGROUND_BACKOFF_SECONDS) - 1)
            ]
            failures += 1
            _log.error(
                "background task failed",
                task=getattr(function, "__qualname__", repr(function)),
                retry_seconds=pause_seconds,
                exc_info=error,
            )
            await asyncio.sleep(pause_seconds)
        else:
            return


async def _run_hooks(hooks: Sequence[StopHook]) -> None:
    for hook in hooks:
        try:
            async with asyncio.timeout(STOP_HOOK_SECONDS):
                await hook()
        except Exception as error:  # noqa: BLE001  # the other hooks run all the same
            _log.error("stop hook failed", hook=repr(hook), exc_info=error)
