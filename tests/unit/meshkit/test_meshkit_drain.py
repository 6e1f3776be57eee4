"""How a service ends beside an Envoy: callers are sent elsewhere first."""

from __future__ import annotations

import asyncio
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import grpc
import pytest
from meshkit_served import ACCOUNT_ID, Scripted, registration
from structlog.testing import capture_logs

from meshkit import drain, testing
from meshkit.config import ConfigError, Draining, load_draining
from meshkit.server import serve
from paymesh.ledger.v1 import ledger_pb2, ledger_pb2_grpc


class Admin(socketserver.ThreadingUnixStreamServer):
    """Envoy's administration socket, as far as draining goes."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.asked: list[str] = []
        self.status = 200
        self.active: Iterator[int] = iter(())
        self.told = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: Admin

    def _answer(self, text: str) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.told.set()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_POST(self) -> None:
        self._answer("OK\n")

    def do_GET(self) -> None:
        calls = next(self.server.active, 0)
        self._answer(
            "http.admin.downstream_rq_active: 1\n"
            f"http.public.downstream_rq_active: {calls}\nhttp.probe.downstream_rq_active: 0\n"
        )

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _admin(directory: Path) -> Iterator[Admin]:
    with Admin(directory / "admin.sock") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


async def _has(admin: Admin, request: str) -> None:
    async with asyncio.timeout(5):
        while request not in admin.asked:  # noqa: ASYNC110  # another thread appends
            await asyncio.sleep(0.01)


async def test_calls_are_answered_while_callers_are_sent_elsewhere(tmp_path: Path) -> None:
    """Envoy is told first; until the time is over the server serves as before, then it ends."""
    with _admin(tmp_path) as admin:
        draining = Draining(admin_socket=tmp_path / "admin.sock", seconds=0.5)
        config = testing.app_config(tmp_path, draining=draining)
        stop = asyncio.Event()
        task = asyncio.create_task(serve([registration(Scripted())], config, stop=stop))
        await _has(admin, "POST /healthcheck/ok")
        stop.set()
        await _has(admin, "POST /healthcheck/fail")
        async with grpc.aio.insecure_channel(f"unix:{config.app_socket}") as channel:
            await ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(
                ledger_pb2.GetBalanceRequest(account_id=ACCOUNT_ID),
                metadata=testing.headers(),
                timeout=5,
            )
        assert not task.done()
        await asyncio.wait_for(task, 5)
        assert admin.asked == ["POST /healthcheck/ok", "POST /healthcheck/fail"]


@pytest.mark.parametrize("fault", ["absent", "refusing", "silent"])
async def test_an_envoy_that_cannot_be_told_does_not_stop_the_end(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure is logged, and the time is given all the same."""
    monkeypatch.setattr(drain, "ADMIN_TIMEOUT_SECONDS", 0.1)
    draining = Draining(admin_socket=tmp_path / "admin.sock", seconds=0.05)
    with capture_logs() as logs:
        if fault == "absent":
            await drain.drain(draining)
        elif fault == "refusing":
            with _admin(tmp_path) as admin:
                admin.status = 503
                await drain.drain(draining)
        else:
            with socketserver.UnixStreamServer(str(tmp_path / "admin.sock"), _Handler):
                await drain.drain(draining)  # connected, never accepted
    assert [entry["event"] for entry in logs] == ["sidecar not told"]


async def test_without_the_variables_nothing_is_told(tmp_path: Path) -> None:
    """On one machine a service ends as it always did."""
    with _admin(tmp_path) as admin:
        stop = asyncio.Event()
        config = testing.app_config(tmp_path)
        task = asyncio.create_task(serve([registration(Scripted())], config, stop=stop))
        stop.set()
        await asyncio.wait_for(task, 5)
        assert admin.asked == []


def test_calls_under_way_leave_out_the_question_itself(tmp_path: Path) -> None:
    """Envoy counts the request for its statistics too; that one is not a call."""
    with _admin(tmp_path) as admin:
        admin.active = iter([3, 0])
        assert drain.under_way(tmp_path / "admin.sock") == 3
        assert drain.under_way(tmp_path / "admin.sock") == 0


def test_socket_and_seconds_come_together() -> None:
    """Both, or neither: one alone, or a time that is none, is a mistake that is named."""
    both = {"PAYMESH_ADMIN_SOCKET": "admin.sock", "PAYMESH_DRAIN_SECONDS": "12"}
    assert load_draining(both) == Draining(Path("admin.sock"), 12.0)
    assert load_draining({}) is None
    for missing in both:
        with pytest.raises(ConfigError, match=f"{missing} is not set"):
            load_draining({key: value for key, value in both.items() if key != missing})
    for wrong in ("-1", "1e3", "301", "nan", "twelve", "1.2345", "٣"):
        with pytest.raises(ConfigError, match="a number from 0 to 300"):
            load_draining({**both, "PAYMESH_DRAIN_SECONDS": wrong})


def test_program_drains_an_envoy_without_an_app(tmp_path: Path) -> None:
    """`python -m meshkit.drain` waits for SIGTERM, drains until no call is left, exits with 0."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PAYMESH_ADMIN_SOCKET": "admin.sock",
        "PAYMESH_DRAIN_SECONDS": "0.1",
    }
    with (
        _admin(tmp_path) as admin,
        subprocess.Popen(
            [sys.executable, "-m", "meshkit.drain"],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert admin.told.wait(20)
        admin.active = iter([2, 1, 0])
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=20)
        assert process.returncode == 0, stderr
        question = "GET /stats?filter=downstream_rq_active$"
        told = ["POST /healthcheck/ok", "POST /healthcheck/fail", question, question, question]
        assert admin.asked == told


def test_program_says_what_is_missing(tmp_path: Path) -> None:
    """Without the variables it refuses to start, in one sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "meshkit.drain"],
        cwd=tmp_path,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (78, "PAYMESH_ADMIN_SOCKET is not set.\n")
