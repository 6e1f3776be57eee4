"""`python -m paymesh.runtime.supervisor`: starts the mesh, keeps it up, stops it in order.

One for each home, held by a lock that the kernel gives up with the process.
Its children end with it; what a killed one left behind all the same is found by
pid and start time, never by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
import traceback
from typing import TextIO

from paymesh.errors import PaymeshError, StartError
from paymesh.mesh import Mesh, load_mesh
from paymesh.paths import Paths, default_paths
from paymesh.runtime import graph, identity, inputs, launch, logs, ports, status
from paymesh.runtime.accounts import Accounts, load_accounts
from paymesh.runtime.backoff import Backoff
from paymesh.runtime.identity import identify
from paymesh.runtime.postgres import data_major
from paymesh.runtime.process import Process
from paymesh.runtime.processes import Table
from paymesh.runtime.programs import load_programs
from paymesh.runtime.requests import Requests
from paymesh.runtime.workspace import Workspace

_STEP_ATTEMPTS = 4
_LEFTOVER_SECONDS = 10.0
_KEEP_SECONDS = 3600.0
_ROTATE_SECONDS = 5.0
_STATUS_SECONDS = 0.05


class Supervisor:
    """Everything of one home, from start to stop."""

    def __init__(
        self, paths: Paths, mesh: Mesh, accounts: Accounts, table: type[Table] = Table
    ) -> None:
        self._table = table
        self._paths = paths
        self._mesh = mesh
        self._accounts = accounts
        self._started = time.monotonic()
        self._status = status.MeshStatus(
            state="starting",
            supervisor=identify(os.getpid()),
            separate_uids=accounts.separate,
            started_at=time.time(),
            port_offset=mesh.port_offset,
            step="preparing",
        )
        self._processes: dict[str, Process] = {}
        self._order: list[list[str]] = []
        self._steps_left: set[str] = set()
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Until SIGTERM; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        # Before the first status of this run replaces the only record of them.
        _end_leftovers(self._paths)
        status.write(self._paths, self._status)
        failure: PaymeshError | None = None
        try:
            table = self._prepare()
            await self._supervise(table)
        except* PaymeshError as errors:
            failure = _first(errors)
        except* Exception as errors:  # noqa: BLE001 — children must be stopped whatever it was
            traceback.print_exception(errors)
            error = _innermost(errors)
            said = error if isinstance(error, OSError) else repr(error)
            failure = StartError(f"the supervisor failed: {said}")
        await self._stop(failure)
        if failure:
            _say(str(failure))
        return 1 if failure else 0

    def _prepare(self) -> Table:
        """What needs no process: directories, keys, copies, free ports."""
        self._status.inputs = inputs.fingerprint(self._paths, self._mesh)
        workspace = Workspace(self._paths, self._mesh, self._accounts)
        workspace.prepare()
        programs = load_programs(
            self._paths,
            self._mesh,
            separate_uids=self._accounts.separate,
            postgres_major=data_major(self._paths),
        )
        ports.require_free(self._mesh.address, ports.needed(self._mesh), self._mesh.port_offset)
        return self._table(workspace, programs, os.environ)

    async def _supervise(self, table: Table) -> None:
        steps = {step.name: step for step in table.steps()}
        self._steps_left = set(steps)
        for spec in table.processes():
            self._processes[spec.name] = Process(
                spec, self._paths.log(spec.name), self._changed.set
            )
        self._status.processes = [process.status for process in self._processes.values()]
        after = {name: step.after for name, step in steps.items()}
        after |= {name: process.spec.after for name, process in self._processes.items()}
        self._order = graph.levels(after)
        done = {name: asyncio.Event() for name in steps}
        done |= {name: process.is_ready for name, process in self._processes.items()}
        server = await Requests(self._processes, self._flush).listen(self._paths.control_socket)
        work = [
            *(self._run_step(step, done) for step in steps.values()),
            *(self._run_process(process, done) for process in self._processes.values()),
            self._write_status(),
            self._limit_logs(),
            self._keep_programs(table),
            table.follow(_say),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one) for one in work]
                await self._stopping.wait()
                for task in tasks:
                    task.cancel()
        finally:
            server.close()

    async def _run_step(self, step: graph.Step, done: dict[str, asyncio.Event]) -> None:
        """Once, but tried again when what it needs died meanwhile.

        Raises:
            StartError: it failed each time.
        """
        backoff = Backoff()
        for attempt in range(1, _STEP_ATTEMPTS + 1):
            for name in step.after:
                await done[name].wait()
            began = time.monotonic()
            try:
                await step.action()
                break
            except StartError as error:
                if attempt == _STEP_ATTEMPTS:
                    raise
                _say(f"step {step.name}, attempt {attempt}: {error}")
            await asyncio.sleep(backoff.after(0))
        _say(f"step {step.name}: {time.monotonic() - began:.2f} s")
        self._steps_left.discard(step.name)
        self._changed.set()
        done[step.name].set()

    async def _run_process(self, process: Process, done: dict[str, asyncio.Event]) -> None:
        for name in process.spec.after:
            await done[name].wait()
        await process.run()

    async def _write_status(self) -> None:
        """After each change, but not more often than a person could see."""
        while True:
            self._changed.clear()
            self._flush()
            await self._changed.wait()
            await asyncio.sleep(_STATUS_SECONDS)

    def _flush(self) -> None:
        """Writes the status as it is now."""
        states = {process.status.state for process in self._processes.values()}
        is_up = self._status.state in {"starting", "ready", "degraded"}
        if is_up and states == {"ready"} and not self._steps_left:
            if self._status.ready_after_seconds is None:
                seconds = time.monotonic() - self._started
                self._status.ready_after_seconds = round(seconds, 2)
                _say(f"ready after {seconds:.2f} s")
            self._status.state, self._status.step = "ready", None
        elif self._status.state == "ready":
            self._status.state = "degraded"
        status.write(self._paths, self._status)

    async def _keep_programs(self, table: Table) -> None:
        """Other meshes of this cache remove copies that nobody seems to use."""
        while True:
            table.programs.keep(self._paths)
            await asyncio.sleep(_KEEP_SECONDS)

    async def _limit_logs(self) -> None:
        while True:
            await asyncio.sleep(_ROTATE_SECONDS)
            for path in self._paths.logs.glob("*.log"):
                logs.rotate(path)

    async def _stop(self, failure: PaymeshError | None) -> None:
        """Stops in reverse order, then says how it ended.

        The tasks that would start processes again are gone by now; what still
        runs is ended here and reaped by asyncio.
        """
        if failure is None:
            self._status.state = "stopping"
        else:
            self._status.error = str(failure)
            self._status.culprit = next(
                (p.status.name for p in self._processes.values() if p.status.state == "failed"),
                None,
            )
        status.write(self._paths, self._status)
        for names in reversed(self._order):
            await asyncio.gather(
                *(self._processes[name].end() for name in names if name in self._processes)
            )
        self._paths.control_socket.unlink(missing_ok=True)
        self._status.state = "failed" if failure else "down"
        for process in self._status.processes:
            process.id = None
            if process.state != "failed":
                process.state = "stopped"
        status.write(self._paths, self._status)


def _first(errors: BaseExceptionGroup[PaymeshError]) -> PaymeshError:
    """The first of them: what failed first made the others give up."""
    error = _innermost(errors)
    return error if isinstance(error, PaymeshError) else StartError(str(error))


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _end_leftovers(paths: Paths) -> None:
    """Children of a supervisor that was killed: told by the kernel, waited for here."""
    before = status.read(paths)
    if before is None:
        return
    left = [process.id for process in before.processes if process.id is not None]
    for process in identity.end_all(left, patience_seconds=_LEFTOVER_SECONDS):
        _say(f"killed a leftover process {process.pid}")


def _lock(paths: Paths) -> TextIO | None:
    """The home's lock, or None when another supervisor has it."""
    paths.home.mkdir(parents=True, exist_ok=True)
    file = paths.lock_file.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    sys.stderr.write(f"{stamp}Z {text}\n")
    sys.stderr.flush()


def main(table: type[Table] = Table) -> int:
    """Runs the processes of `table`.

    Exit codes: 0 stopped on request, 1 could not start, 3 another one runs.
    """
    os.umask(0o077)
    paths = default_paths()
    lock = _lock(paths)
    if lock is None:
        return status.ALREADY_RUNNING
    with lock, contextlib.chdir(paths.home):
        try:
            mesh = load_mesh()
            accounts = load_accounts(mesh)
        except PaymeshError as error:
            _say(str(error))
            failed = status.MeshStatus(
                state="failed",
                supervisor=identify(os.getpid()),
                separate_uids=False,
                started_at=time.time(),
                error=str(error),
            )
            status.write(paths, failed)
            return 1
        launch.limit_resources()
        return asyncio.run(Supervisor(paths, mesh, accounts, table).run())


if __name__ == "__main__":
    sys.exit(main())
