"""Bringing a supervisor up and down from another process."""

from __future__ import annotations

import contextlib
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

_POLL_SECONDS = 0.03
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
    pid = None
    if found is None or found.state == "failed":
        mirror.open_directory(paths.home)
        pid = _spawn(paths, program)
    try:
        return _wait_up(paths, pid, progress)
    except BaseException:
        if pid is not None:
            _end(paths, pid)
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
    while found.supervisor.is_alive():
        now = status.read(paths)
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


def _spawn(paths: Paths, program: Sequence[str]) -> int:
    """A supervisor in a session of its own, its output in its log."""
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
    return os.posix_spawn(
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


def _wait_up(paths: Paths, pid: int | None, progress: Progress) -> MeshStatus:
    deadline = time.monotonic() + _UP_SECONDS
    while time.monotonic() < deadline:
        found = status.read(paths)
        is_ours = found is not None and found.supervisor is not None
        if found is not None and is_ours and pid is not None:
            is_ours = found.supervisor is not None and found.supervisor.pid == pid
        if found is not None and is_ours:
            progress(found)
            if found.state == "ready":
                return found
            if found.error:
                raise StartError(_why(paths, found))
        exit_code = _exit_code(pid)
        if exit_code is not None:
            pid = None
            found = status.read(paths)
            if found is not None and found.error:
                raise StartError(_why(paths, found))
            if running(paths) is None:
                raise StartError(_with_log("the supervisor ended", paths.log("supervisor")))
        elif pid is None and running(paths) is None:
            raise StartError(_with_log("the supervisor ended", paths.log("supervisor")))
        time.sleep(_POLL_SECONDS)
    raise StartError(f"the mesh is not ready after {_UP_SECONDS:.0f} s: see `paymesh status`")


def _exit_code(pid: int | None) -> int | None:
    """How our supervisor ended; None while it runs, or when it is not ours."""
    if pid is None:
        return None
    try:
        found, code = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(code) if found else None


def _end(paths: Paths, pid: int) -> None:
    """Ends the supervisor that this process has started, and waits for it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    while _exit_code(pid) is None and time.monotonic() < deadline:
        found = status.read(paths)
        if found is None or found.supervisor is None or not found.supervisor.is_alive():
            break
        time.sleep(_POLL_SECONDS)


def _why(paths: Paths, found: MeshStatus) -> str:
    sentence = found.error or "the mesh did not come up"
    return _with_log(sentence, paths.log(found.culprit)) if found.culprit else sentence


def _with_log(sentence: str, log: Path) -> str:
    lines = logs.tail(log, _TAIL_LINES)
    shown = "".join(f"\n  {line[:400]}" for line in lines)
    return f"{sentence}\nThe end of {log}:{shown}" if lines else sentence
