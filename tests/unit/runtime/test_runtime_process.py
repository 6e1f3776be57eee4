"""One process under supervision, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paymesh.errors import StartError
from paymesh.runtime import process as process_module
from paymesh.runtime.process import Process, Spec, describe_exit


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in a mesh takes moments here."""
    monkeypatch.setattr(process_module, "_WATCH_SECONDS", 0.05)


@contextlib.asynccontextmanager
async def supervised(directory: Path, script: str, **options: object) -> AsyncIterator[Process]:
    """A shell script, run until the block is left."""
    spec = Spec("thing", ("/bin/sh", "-c", script), directory, None, **options)  # type: ignore[arg-type]
    process = Process(spec, directory / "thing.log", lambda: None)
    task = asyncio.create_task(process.run())
    try:
        yield process
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, StartError):
            await task
        await process.end()


async def until_state(process: Process, state: str) -> None:
    """Waits for it, but not for long."""
    async with asyncio.timeout(10):
        while process.status.state != state:  # noqa: ASYNC110 — a state is no event
            await asyncio.sleep(0.01)


async def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    """Its restarts are counted and how it ended is said."""
    async with supervised(tmp_path, "sleep 60") as process:
        assert await process.wait_ready(10)
        first = process.status.pid
        assert process.send(signal.SIGKILL)
        async with asyncio.timeout(10):
            while process.status.pid in {first, None}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await process.wait_ready(10)
        assert process.status.restarts == 1
        assert process.status.last_exit == "killed by SIGKILL"


async def test_a_process_that_never_starts_is_given_up(tmp_path: Path) -> None:
    """After a few attempts, with a sentence; what it wrote is in its log."""
    spec = Spec(
        "thing",
        ("/bin/sh", "-c", "echo no luck; exit 7"),
        tmp_path,
        None,
        ready=lambda: asyncio.sleep(0, "not there"),
    )
    process = Process(spec, tmp_path / "thing.log", lambda: None)
    with pytest.raises(StartError, match="thing does not start: exit 7"):
        await process.run()
    assert process.status.state == "failed"
    assert (tmp_path / "thing.log").read_text() == "no luck\n" * 4
    assert (tmp_path / "thing.log").stat().st_mode & 0o777 == 0o600


async def test_a_process_that_does_not_become_ready_is_ended(tmp_path: Path) -> None:
    """With what its probe said last."""
    async with supervised(
        tmp_path,
        "sleep 60",
        ready=lambda: asyncio.sleep(0, "no socket"),
        ready_seconds=0.1,
    ) as process:
        await until_state(process, "backoff")
        assert process.status.last_exit == "not ready after 0 s: no socket"


async def test_stopped_stays_stopped_until_started(tmp_path: Path) -> None:
    """A stop on request is no accident: nothing is counted, and start is at once."""
    async with supervised(tmp_path, "sleep 60") as process:
        assert await process.wait_ready(10)
        await process.stop()
        await until_state(process, "stopped")
        await asyncio.sleep(0.3)
        assert (process.status.state, process.status.pid) == ("stopped", None)
        process.start()
        assert await process.wait_ready(10)
        assert process.status.restarts == 0


async def test_a_process_that_ignores_the_stop_is_killed(tmp_path: Path) -> None:
    """Also one that is paused: it is woken up to be told."""
    script = "trap '' TERM; while :; do sleep 0.1; done"
    async with supervised(tmp_path, script, stop_seconds=0.3) as process:
        assert await process.wait_ready(10)
        await asyncio.sleep(0.2)
        process.send(signal.SIGSTOP)
        await process.stop()
        assert process.status.last_exit == "killed by SIGKILL"


async def test_stop_during_backoff_stops(tmp_path: Path) -> None:
    """The next attempt is not made."""
    flag = tmp_path / "flag"
    async with supervised(tmp_path, f"test -e {flag} && exit 1; sleep 60") as process:
        assert await process.wait_ready(10)
        flag.touch()
        process.send(signal.SIGKILL)
        await until_state(process, "backoff")
        await process.stop()
        await until_state(process, "stopped")


async def test_a_paused_process_says_so(tmp_path: Path) -> None:
    """And is ready again when it goes on."""
    async with supervised(tmp_path, "sleep 60") as process:
        assert await process.wait_ready(10)
        process.send(signal.SIGSTOP)
        assert (process.status.state, await process.missing()) == ("paused", "it is paused")
        process.send(signal.SIGCONT)
        assert (process.status.state, await process.missing()) == ("ready", None)


async def test_a_process_that_stops_answering_is_unready(tmp_path: Path) -> None:
    """It is not killed for it: what it does may be worth more than an answer."""
    answers: list[str | None] = [None]
    async with supervised(
        tmp_path, "sleep 60", ready=lambda: asyncio.sleep(0, answers[-1])
    ) as process:
        assert await process.wait_ready(10)
        pid = process.status.pid
        answers.append("silent")
        await until_state(process, "unready")
        answers.append(None)
        await until_state(process, "ready")
        assert process.status.pid == pid


async def test_a_program_that_is_missing_is_a_failed_start(tmp_path: Path) -> None:
    """Not an exception that nobody expects."""
    argv = ("/nonexistent/program",)
    spec = Spec("thing", argv, tmp_path, None, ready=lambda: asyncio.sleep(0, "not there"))
    process = Process(spec, tmp_path / "thing.log", lambda: None)
    with pytest.raises(StartError, match="thing does not start: exit 127"):
        await process.run()


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit 0"), (3, "exit 3"), (-9, "killed by SIGKILL"), (-250, "killed by signal 250")],
)
def test_exits_in_words(code: int, words: str) -> None:
    """As `paymesh status` shows them."""
    assert describe_exit(code) == words
