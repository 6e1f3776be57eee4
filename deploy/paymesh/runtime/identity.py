"""A process told apart from whoever gets its number later.

A pid is reused; together with the time at which the process started, in clock
ticks since boot, it is not (proc_pid_stat(5), field 22).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from pathlib import Path

_POLL_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class ProcessId:
    """A pid, the clock tick of its start, and the boot that both belong to."""

    pid: int
    start_ticks: int
    boot_id: str

    def is_alive(self) -> bool:
        """Whether this very process still runs. A zombie does not."""
        if self.boot_id != current_boot_id():
            return False
        found = _stat(self.pid)
        return found is not None and found[1] == self.start_ticks and found[0] not in "ZX"

    def send(self, number: signal.Signals) -> bool:
        """Signals this very process; False when it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            # The descriptor holds the process that has the number now; checked after
            # it was opened, it is ours or nobody's.
            if not self.is_alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True


def identify(pid: int) -> ProcessId | None:
    """The identity of the process that has this pid now."""
    found = _stat(pid)
    return ProcessId(pid, found[1], current_boot_id()) if found else None


def current_boot_id() -> str:
    """A random name of this boot of the machine."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return "unknown"


def end_all(processes: list[ProcessId], *, patience_seconds: float) -> list[ProcessId]:
    """Waits for processes that were told to end, then kills what is left; returns those.

    Used on what a killed supervisor left behind: the kernel has already told
    them, so most are gone by now.
    """
    for process in processes:
        process.send(signal.SIGCONT)
        process.send(signal.SIGTERM)
    if _wait(processes, patience_seconds):
        return []
    left = [process for process in processes if process.is_alive()]
    for process in left:
        process.send(signal.SIGKILL)
    _wait(left, patience_seconds)
    return left


def _wait(processes: list[ProcessId], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(process.is_alive() for process in processes):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _stat(pid: int) -> tuple[str, int] | None:
    """(state letter, start in clock ticks since boot)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything, parentheses too.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])
