"""One process under supervision: started, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from paymesh.errors import StartError
from paymesh.runtime import launch
from paymesh.runtime.accounts import Account
from paymesh.runtime.backoff import Backoff
from paymesh.runtime.identity import identify
from paymesh.runtime.probes import Probe
from paymesh.runtime.status import ProcessState, ProcessStatus

_PROBE_SECONDS = 0.05
_LONGEST_PROBE_SECONDS = 0.2
_WATCH_SECONDS = 2.0
_UNANSWERED_PROBES = 2
_START_ATTEMPTS = 4


@dataclasses.dataclass(frozen=True)
class Spec:
    """What there is to know to run one process.

    `prepare` runs before each start; `after` are names of steps and processes
    that must be ready before the first one.
    """

    name: str
    argv: tuple[str | Path, ...]
    directory: Path
    account: Account | None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    after: tuple[str, ...] = ()
    ready: Probe | None = None
    prepare: Callable[[], Awaitable[None]] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    ready_seconds: float = 40.0


class Process:
    """Runs a `Spec` until told otherwise."""

    def __init__(self, spec: Spec, log: Path, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.status = ProcessStatus(spec.name)
        self.is_ready = asyncio.Event()
        self._log = log
        self._changed = changed
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._ended = asyncio.Event()
        self._ended.set()
        self._backoff = Backoff()
        self._child: asyncio.subprocess.Process | None = None
        self._was_ready = False

    async def run(self) -> None:
        """Keeps the process up for as long as it is wanted; returns never.

        Raises:
            StartError: it did not come up for the first time.
        """
        failures = 0
        while True:
            if not self._wanted.is_set():
                self._set("stopped")
                await self._wanted.wait()
            why = await self._run_once()
            if not self._wanted.is_set():
                continue
            if not self._was_ready:
                failures += 1
                if failures >= _START_ATTEMPTS:
                    self._set("failed")
                    raise StartError(f"{self.spec.name} does not start: {why}")
            await self._wait_before_restart()

    async def stop(self, number: signal.Signals | None = None) -> None:
        """Ends the process and leaves it stopped; killed when it takes too long."""
        self._wanted.clear()
        child = self._child
        if child is None:
            if self.status.state == "backoff":
                self._ended.set()
            return
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGCONT)
            child.send_signal(number or self.spec.stop_signal)
        try:
            async with asyncio.timeout(self.spec.stop_seconds):
                await self._ended.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await self._ended.wait()

    async def end(self) -> None:
        """Ends what still runs after `run` was cancelled."""
        self._wanted.clear()
        child = self._child
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGCONT)
            child.send_signal(self.spec.stop_signal)
        try:
            async with asyncio.timeout(self.spec.stop_seconds):
                await child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        self._child = None
        self.status.id = None
        self._set("stopped")

    def start(self) -> None:
        """Wants the process again, at once."""
        self._backoff.reset()
        self._wanted.set()

    async def wait_ready(self, seconds: float) -> bool:
        """Whether it is ready now or within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self.is_ready.wait()
        except TimeoutError:
            return False
        return True

    async def missing(self) -> str | None:
        """None when it is ready at this moment, else what is missing."""
        if self.status.state not in {"ready", "unready"}:
            return f"it is {self.status.state}"
        missing = await self.spec.ready() if self.spec.ready else None
        if missing is None and self.status.state == "unready":
            self._set("ready")
        return missing

    def send(self, number: signal.Signals) -> bool:
        """Signals the process without a change of what is wanted; False when it does not run."""
        if self._child is None or self._child.returncode is not None:
            return False
        self._child.send_signal(number)
        if number == signal.SIGSTOP:
            self._set("paused")
        elif number == signal.SIGCONT and self.status.state == "paused":
            self._set("ready" if self._was_ready else "starting")
        return True

    async def _run_once(self) -> str:
        """Starts the process and waits for its end; returns how it ended."""
        self.status.backoff_seconds = None
        started = time.monotonic()
        try:
            if self.spec.prepare is not None:
                await self.spec.prepare()
            self._child = await self._spawn()
        except (StartError, OSError) as error:
            return self._record_end(str(error), time.monotonic() - started)
        self._ended.clear()
        self.status.id = identify(self._child.pid)
        self.status.started_at = time.time()
        self._set("starting")
        watcher = asyncio.create_task(self._watch(self._child))
        try:
            code = await self._child.wait()
        finally:
            watcher.cancel()
        self._child = None
        late = watcher.done() and not watcher.cancelled() and watcher.exception() is None
        why = watcher.result() if late else None
        return self._record_end(why or describe_exit(code), time.monotonic() - started)

    async def _spawn(self) -> asyncio.subprocess.Process:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.open(self._log, flags, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *launch.command(
                    self.spec.argv,
                    self.spec.account,
                    death_signal=self.spec.stop_signal.name.removeprefix("SIG"),
                ),
                cwd=self.spec.directory,
                env=launch.minimal_environment(self.spec.directory, self.spec.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=0o077,
                start_new_session=True,
            )
        finally:
            os.close(log)

    async def _watch(self, child: asyncio.subprocess.Process) -> str | None:
        """Asks until ready, and every now and then afterwards.

        Returns:
            Why it was ended, when it did not become ready in time.
        """
        missing = await self._until_ready()
        if missing is not None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            return f"not ready after {self.spec.ready_seconds:.0f} s: {missing}"
        self._was_ready = True
        self.status.ready_at = time.time()
        self._set("ready")
        unanswered = 0
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            missing = await self.spec.ready() if self.spec.ready else None
            unanswered = 0 if missing is None else unanswered + 1
            if self.status.state == "paused":
                continue
            if unanswered == 0:
                self._set("ready")
            elif unanswered >= _UNANSWERED_PROBES:
                self._set("unready")

    async def _until_ready(self) -> str | None:
        deadline = time.monotonic() + self.spec.ready_seconds
        # Fifteen processes are asked at once, on the processors that they start on.
        pause_seconds = _PROBE_SECONDS
        while self.spec.ready is not None:
            missing = await self.spec.ready()
            if missing is None:
                break
            if time.monotonic() > deadline:
                return missing
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.2, _LONGEST_PROBE_SECONDS)
        return None

    def _record_end(self, why: str, ran_seconds: float) -> str:
        self.status.id = None
        self.status.last_exit = why
        self._ended.set()
        if self._wanted.is_set():
            self.status.backoff_seconds = round(self._backoff.after(ran_seconds), 3)
            self.status.restarts += 1
            self._set("backoff")
        else:
            self._set("stopped")
        return why

    async def _wait_before_restart(self) -> None:
        """Until the back-off is over, or somebody stops or starts the process."""
        deadline = time.monotonic() + (self.status.backoff_seconds or 0)
        while time.monotonic() < deadline and self._wanted.is_set():
            if self._backoff.is_reset:
                return
            await asyncio.sleep(_PROBE_SECONDS)

    def _set(self, state: ProcessState) -> None:
        if state == "ready":
            self.is_ready.set()
        else:
            self.is_ready.clear()
        if self.status.state != state:
            self.status.state = state
            self._changed()


def describe_exit(code: int) -> str:
    """A return code in words: `exit 1`, `killed by SIGKILL`."""
    if code >= 0:
        return f"exit {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
