"""Runs a program where an attacker is: under that uid, in that directory, on that network.

A workload's position is the workload itself, taken over. `inside` and `operator` are uids
that nothing else on the machine has. `outside` is one too, behind a perimeter: in a network
namespace into which one port is forwarded, and without the mesh's files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paymesh.attack.model import OUTSIDE
from paymesh.attack.perimeter import Perimeter, perimeter
from paymesh.attack.uids import stranger_uid
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import launch, mirror, programs
from paymesh.runtime.accounts import Account, load_accounts
from paymesh.runtime.identity import identify

__all__ = ["Perimeter", "perimeter", "run_at", "run_at_each", "started_at", "stranger_uid"]

_DEFAULT_SECONDS = 30.0
_PREFIX = "paymesh-position-"


@contextlib.contextmanager
def started_at(
    paths: Paths,
    mesh: Mesh,
    position: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    perimeter: Perimeter | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a program at a position; its three standard streams are pipes. It is killed
    at the end of the block, and when the caller's thread ends.

    Args:
        paths: of a mesh that was up at least once.
        mesh: names the workloads.
        position: `outside`, `inside`, `operator` or a workload's name.
        argv: arguments of the workloads' interpreter, which finds the `paymesh` package too.
        env: added to a minimal environment.
        perimeter: the one to be outside of; one for this program alone when left out.

    Raises:
        ConfigError: no such position, the mesh was never up, or this is not root.
    """
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(_place(paths, mesh, position))
        namespaces = None
        if position == OUTSIDE:
            standing = perimeter or stack.enter_context(_perimeter(mesh, paths))
            namespaces = standing.namespaces
        python = programs.load_python(paths, separate_uids=True)
        environment = {**python.environment(tools=True), **(env or {})}
        process = subprocess.Popen(
            launch.command(
                [python.executable, *argv],
                place.account,
                death_signal="KILL",
                namespaces=namespaces,
            ),
            cwd=place.directory,
            env=launch.minimal_environment(place.directory, environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=0o077,
        )
        try:
            yield process
        finally:
            _end(process)


def run_at(
    paths: Paths,
    mesh: Mesh,
    position: str,
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout_seconds: float = _DEFAULT_SECONDS,
    env: Mapping[str, str] | None = None,
    perimeter: Perimeter | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Runs a program at a position to its end; the other arguments are `started_at`'s.

    Raises:
        ConfigError: as `started_at`.
        subprocess.TimeoutExpired: it took too long and was killed.
    """
    with started_at(paths, mesh, position, argv, env=env, perimeter=perimeter) as process:
        output, errors = process.communicate(stdin, timeout=timeout_seconds)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def run_at_each(
    paths: Paths,
    mesh: Mesh,
    programs_at: Mapping[str, tuple[Sequence[str], bytes]],
    *,
    timeout_seconds: float = _DEFAULT_SECONDS,
    perimeter: Perimeter | None = None,
) -> dict[str, subprocess.CompletedProcess[bytes]]:
    """Runs one program at each of several positions, all at once.

    Args:
        paths: as `started_at`.
        mesh: as `started_at`.
        programs_at: position → arguments and standard input.
        timeout_seconds: for each.
        perimeter: as `started_at`.

    Raises:
        ConfigError: as `started_at`.
        subprocess.TimeoutExpired: one took too long; all have ended.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(programs_at))) as pool:
        running = {
            position: pool.submit(
                run_at,
                paths,
                mesh,
                position,
                argv,
                stdin=stdin,
                timeout_seconds=timeout_seconds,
                perimeter=perimeter,
            )
            for position, (argv, stdin) in programs_at.items()
        }
        return {position: future.result() for position, future in running.items()}


# `started_at` has a parameter of this name.
_perimeter = perimeter


@dataclasses.dataclass(frozen=True)
class _Place:
    account: Account | None
    directory: Path


@contextlib.contextmanager
def _place(paths: Paths, mesh: Mesh, position: str) -> Iterator[_Place]:
    accounts = load_accounts(mesh)
    if not accounts.separate:
        raise ConfigError("positions have uids of their own: run as root")
    if position in mesh.workloads:
        directory = paths.workload(position)
        if not directory.is_dir():
            raise ConfigError(f"{directory} is not there: run `paymesh up` first")
        yield _Place(accounts.of(position), directory)
        return
    uid = stranger_uid(mesh, position)
    _sweep()
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        if not mirror.readable_by_others(directory.parent):
            raise ConfigError(f"{directory.parent} is closed to other uids: set TMPDIR")
        os.chown(directory, uid, uid)
        yield _Place(Account(uid, uid), directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sweep() -> None:
    """Removes the directories of runs that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and identify(int(pid)) is None:
            shutil.rmtree(left, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout, process.stderr):
        # What was not read or not written is of no interest any more.
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.close()
    process.wait()
