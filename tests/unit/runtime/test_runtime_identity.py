"""A pid is not enough to know a process by."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from paymesh.runtime.identity import ProcessId, end_all, identify


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when told to."""
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        yield process
        if process.poll() is None:
            process.kill()


def identified(process: subprocess.Popen[bytes]) -> ProcessId:
    """Its identity, which it must have."""
    found = identify(process.pid)
    assert found is not None
    return found


def test_a_running_process_is_alive(sleeper: subprocess.Popen[bytes]) -> None:
    """And so is this one."""
    assert identified(sleeper).is_alive()
    me = identify(os.getpid())
    assert me is not None
    assert me.is_alive()


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    """A child that ended but was not waited for has ended."""
    process = identified(sleeper)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not process.is_alive()


@pytest.mark.parametrize("changed", [{"start_ticks": 1}, {"boot_id": "another"}])
def test_somebody_elses_process_is_neither_alive_nor_signalled(
    sleeper: subprocess.Popen[bytes], changed: dict[str, object]
) -> None:
    """The same number at another time or after another boot is another process."""
    other = dataclasses.replace(identified(sleeper), **changed)  # type: ignore[arg-type]
    assert not other.is_alive()
    assert not other.send(signal.SIGKILL)
    assert end_all([other], patience_seconds=0.1) == []
    assert sleeper.poll() is None


def test_what_does_not_end_is_killed() -> None:
    """A leftover that ignores the request, or is stopped, goes all the same."""
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        process = identified(stubborn)
        assert end_all([process], patience_seconds=0.3) == [process]
        assert stubborn.wait(5) == -signal.SIGKILL


def test_a_pid_that_nobody_has_has_no_identity() -> None:
    """Numbers above the limit belong to nobody."""
    assert identify(1 << 30) is None
