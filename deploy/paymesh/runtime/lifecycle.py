"""Bringing a supervisor up and down from another process."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from paymesh.errors import ConfigError, StartError
from paymesh.mesh import load_mesh, repository_root
from paymesh.paths import Paths
from paymesh.runtime import control, identity, inputs, launch, logs, mirror, status
from paymesh.runtime.processes import passed_on
from paymesh.runtime.status import MeshStatus

# The processors are busy with what is being waited for.
_POLL_SECONDS = 0.08
_TAKEOVER_SECONDS = 5.0
_UP_SECONDS = 180.0
_DOWN_SECONDS = 90.0
_TAIL_LINES = 12

Progress = Callable[[MeshStatus], None]


def running(paths: Paths) -> MeshStatus | None:
    """The status of the mesh if its supervisor lives.

    Raises:
        ConfigError: it belongs to another user.
    """
    try:
        found = status.read(paths)
    except PermissionError as error:
        raise ConfigError(f"{paths.home} belongs to another user: run as that user") from error
    return found if found and found.is_alive() and found.state != "down" else None


def start(
    paths: Paths,
    progress: Progress,
    program: Sequence[str] = ("-m", "paymesh.runtime.supervisor"),
) -> MeshStatus:
    """Starts a supervisor and returns when the mesh is ready.

    One that runs is waited for, or stopped and started anew when sources, programs or
    configuration have changed since. An interrupt ends what this call has started.

    Args:
        paths: of the home.
        progress: called with the status again and again.
        program: the supervisor, as arguments of the interpreter.

    Raises:
        StartError: one sentence, with the end of the log of the process to blame.
    """
    found = running(paths)
    if found is not None and found.inputs not in {None, inputs.fingerprint(paths, load_mesh())}:
        stop(paths, progress)
        found = None
    if found is not None and found.state in {"ready", "degraded"}:
        control.wait_ready(paths, timeout_seconds=30)
        return found
    child = None
    if found is None or found.state == "failed":
        try:
            child = _spawn(paths, program)
        except OSError as error:
            raise ConfigError(f"{error}: set PAYMESH_HOME to a place that you may use") from error
    try:
        return _wait_up(paths, child, progress)
    except BaseException:
        if child is not None:
            child.end()
        raise


def stop(paths: Paths, progress: Progress) -> bool:
    """Stops the supervisor and everything below it; False when nothing ran.

    Raises:
        StartError: it does not end.
    """
    try:
        found = status.read(paths)
    except PermissionError as error:
        raise ConfigError(f"{paths.home} belongs to another user: run as that user") from error
    if found is None or found.supervisor is None:
        return False
    if not found.is_alive():
        # Killed: its children were told by the kernel, and are waited for here.
        left = [process.id for process in found.processes if process.id]
        return bool(identity.end_all(left, patience_seconds=10)) or any(
            process.id for process in found.processes
        )
    found.supervisor.send(signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    reader = status.Reader(paths)
    while found.supervisor.is_alive():
        now = reader.read()
        if now is not None:
            progress(now)
        if time.monotonic() > deadline:
            raise StartError(f"the supervisor (pid {found.supervisor.pid}) does not end")
        time.sleep(_POLL_SECONDS)
    return True


def purge(paths: Paths) -> None:
    """Removes everything of a mesh that is down: data, keys, logs."""
    if running(paths) is not None:
        raise ConfigError("the mesh is up: run `paymesh down` first")
    if paths.home.exists() and not (paths.home / "run").is_dir() and any(paths.home.iterdir()):
        raise ConfigError(f"{paths.home} is not a home of Paymesh: nothing was removed")
    shutil.rmtree(paths.home, ignore_errors=True)
    if paths.home.exists():
        raise ConfigError(f"{paths.home} could not be removed entirely")


class _Child:
    """A supervisor that this process has started: signalled only for as long as it is there."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self._code is None:
            found, waited = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(waited) if found else None
        return self._code

    def end(self) -> None:
        """Ends it in order, and waits for it."""
        deadline = time.monotonic() + _DOWN_SECONDS
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _spawn(paths: Paths, program: Sequence[str]) -> _Child:
    """A supervisor in a session of its own, its output in its log."""
    mirror.open_directory(paths.home)
    log = paths.log("supervisor")
    log.parent.mkdir(mode=0o700, exist_ok=True)
    logs.rotate(log)
    root = repository_root()
    roots = [root / "deploy", root / "services", root / "services" / "_generated"]
    environment = {
        "HOME": str(paths.home),
        "PYTHONPATH": os.pathsep.join(str(path) for path in roots),
        "PYTHONSAFEPATH": "1",
        **passed_on(),
        "PAYMESH_HOME": str(paths.home),
        "PAYMESH_CACHE": str(paths.cache),
        "PAYMESH_ROOT": str(root),
    }
    output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, *program],
        launch.minimal_environment(paths.home, environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), output, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return _Child(pid)


def _wait_up(paths: Paths, child: _Child | None, progress: Progress) -> MeshStatus:
    """Waits for the supervisor that was started, or for somebody else's.

    What a dead supervisor of before has written does not count.
    """
    reader, ours = status.Reader(paths), child.pid if child else None
    deadline = time.monotonic() + _UP_SECONDS
    patience = time.monotonic() + _TAKEOVER_SECONDS
    while time.monotonic() < deadline:
        code = child.poll() if child else None
        found = reader.read()
        writer = found.supervisor if found else None
        if found is not None and writer is not None and (writer.pid == ours or writer.is_alive()):
            progress(found)
            if found.state == "ready":
                return found
            if found.error:
                raise StartError(_why(paths, found))
        elif child is None and time.monotonic() > patience:
            raise StartError(_with_log("the supervisor ended", paths.log("supervisor")))
        if code is not None:
            if code != status.ALREADY_RUNNING:
                raise StartError(_with_log("the supervisor ended", paths.log("supervisor")))
            # Two `up` at once: the other one's supervisor is about to say something.
            child, patience = None, time.monotonic() + _TAKEOVER_SECONDS
        time.sleep(_POLL_SECONDS)
    raise StartError(f"the mesh is not ready after {_UP_SECONDS:.0f} s: see `paymesh status`")


def _why(paths: Paths, found: MeshStatus) -> str:
    sentence = found.error or "the mesh did not come up"
    return _with_log(sentence, paths.log(found.culprit)) if found.culprit else sentence


def _with_log(sentence: str, log: Path) -> str:
    lines = logs.tail(log, _TAIL_LINES)
    shown = "".join(f"\n  {line[:400]}" for line in lines)
    return f"{sentence}\nThe end of {log}:{shown}" if lines else sentence
