"""The server's life: its socket, its background tasks, and how it stops."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from meshkit_served import ACCOUNT_ID, Scripted, registration
from structlog.testing import capture_logs

from meshkit import server, testing
from meshkit.config import AppConfig, ConfigError
from meshkit.server import serve
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc

REQUEST = ledger_pb2.GetBalanceRequest(account_id=ACCOUNT_ID)


async def _until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # nothing tells when a file is there
            await asyncio.sleep(0.01)


async def test_the_socket_is_its_owners_alone(config: AppConfig) -> None:
    """The socket has mode 0600 from the first moment, and the umask is as before."""
    before = os.umask(0o022)
    try:
        stop = asyncio.Event()
        task = asyncio.create_task(serve([registration(Scripted())], config, stop=stop))
        await _until(config.app_socket.exists)
        assert stat.S_IMODE(config.app_socket.stat().st_mode) == 0o600
        assert os.umask(0o022) == 0o022
        stop.set()
        await task
    finally:
        os.umask(before)


async def test_a_dead_runs_socket_is_replaced(config: AppConfig) -> None:
    """What a killed process left behind does not keep the next from starting."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(config.app_socket))
    async with testing.serving([registration(Scripted())], config) as channel:
        await ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(
            REQUEST, metadata=testing.headers(), timeout=5
        )


async def test_a_living_server_is_not_pushed_out(config: AppConfig) -> None:
    """A second server on the same socket refuses with one sentence; the first goes on."""
    async with testing.serving([registration(Scripted())], config) as channel:
        with pytest.raises(ConfigError, match="Another process serves"):
            await serve([registration(Scripted())], config)
        await ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(
            REQUEST, metadata=testing.headers(), timeout=5
        )


async def test_a_file_in_the_way_is_not_removed(config: AppConfig) -> None:
    """Something that is not a socket is somebody's and stays."""
    config.app_socket.write_text("precious")
    with pytest.raises(ConfigError, match="not a socket"):
        await serve([registration(Scripted())], config)
    assert config.app_socket.read_text() == "precious"


async def test_a_path_too_long_is_said(tmp_path: Path) -> None:
    """A path beyond what the kernel takes is refused with the limit."""
    config = testing.app_config(tmp_path, app_socket=tmp_path / ("x" * 120))
    with pytest.raises(ConfigError, match="107 bytes"):
        await serve([registration(Scripted())], config)


async def test_stopping_drains(config: AppConfig) -> None:
    """On stop health says NOT_SERVING, the running call finishes, then the hooks run in order."""
    entered, finish, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def behave(_request: Any, _context: Any) -> Any:
        entered.set()
        await finish.wait()
        order.append("call")
        return ledger_pb2.GetBalanceResponse()

    async def hook(name: str) -> None:
        order.append(name)

    task = asyncio.create_task(
        serve(
            [registration(Scripted(behave))],
            config,
            on_stop=[lambda: hook("first"), lambda: hook("second")],
            stop=stop,
        )
    )
    await _until(config.app_socket.exists)
    async with grpc.aio.insecure_channel(f"unix:{config.app_socket}") as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        running = asyncio.ensure_future(
            stub.GetBalance(REQUEST, metadata=testing.headers(), timeout=5)
        )
        await entered.wait()
        stop.set()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert order == []
        finish.set()
        await running
        watch.cancel()
        async with asyncio.timeout(5):
            await task
    assert order == ["call", "first", "second"]


async def test_health_lists_every_service(config: AppConfig) -> None:
    """List tells of the server and of each service what Check says of them."""
    async with testing.serving([registration(Scripted())], config) as channel:
        reply = await health_pb2_grpc.HealthStub(channel).List(
            health_pb2.HealthListRequest(), timeout=5
        )
    assert {name: found.status for name, found in reply.statuses.items()} == {
        "": health_pb2.HealthCheckResponse.SERVING,
        "paymesh.ledger.v1.LedgerService": health_pb2.HealthCheckResponse.SERVING,
    }


async def test_background_tasks_run_and_are_cancelled(config: AppConfig) -> None:
    """A background task runs beside the server, outlives its own exceptions, and ends with it."""
    runs: list[int] = []
    cancelled, stop = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) < 3:
            raise RuntimeError("try again")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
        patch.setattr(server, "BACKGROUND_BACKOFF_SECONDS", (0.01,))
        task = asyncio.create_task(
            serve([registration(Scripted())], config, background=[work], stop=stop)
        )
        await _until(lambda: len(runs) == 3)
        stop.set()
        await task
    assert cancelled.is_set()
    assert [line["event"] for line in logs].count("background task failed") == 2


async def test_a_hook_that_fails_does_not_keep_the_others(config: AppConfig) -> None:
    """Every stop hook runs, whatever the one before it did."""
    ran: list[str] = []
    stop = asyncio.Event()
    stop.set()

    async def fails() -> None:
        raise RuntimeError("no")

    async def runs() -> None:
        ran.append("second")

    await serve([registration(Scripted())], config, on_stop=[fails, runs], stop=stop)
    assert ran == ["second"]


SERVICE = """
import asyncio, sys
from meshkit.server import run, serve
async def work():
    print("working", flush=True)
    await asyncio.sleep(60)
async def hook():
    print("hook", flush=True)
async def main(config):
    await serve([], config, on_stop=[hook], background=[work])
run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end a real service with status 0, hooks run, socket gone."""
    for name in ("dsn", "pdp-token"):
        (tmp_path / name).write_text("x")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PAYMESH_WORKLOAD": "ledger",
        "PAYMESH_TRUST_DOMAIN": "paymesh.internal",
        "PAYMESH_APP_SOCKET": "app.sock",
        "PAYMESH_OUTBOUND_SOCKET": "outbound.sock",
        "PAYMESH_DSN_FILE": "dsn",
        "PAYMESH_PDP_URL": "http://127.0.0.1:1",
        "PAYMESH_PDP_TOKEN_FILE": "pdp-token",
        "PAYMESH_MAX_MESSAGE_BYTES": "65536",
    }
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "hook\n"), err
    assert [line for line in err.splitlines() if '"event": "stopped"' in line]
    assert not (tmp_path / "app.sock").exists()
