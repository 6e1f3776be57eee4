"""The supervisor's view of its processes: what `paymesh status` prints."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any, Literal

from paymesh.paths import Paths
from paymesh.runtime.files import write_file
from paymesh.runtime.identity import ProcessId

# Exit code of a supervisor that found another one in its home.
ALREADY_RUNNING = 3

ProcessState = Literal[
    "waiting",  # for what it depends on
    "starting",  # runs, and is not ready yet
    "ready",
    "unready",  # was ready and does not answer any more
    "backoff",  # died and is started again soon
    "paused",
    "stopped",  # on request
    "failed",  # did not come up and is not tried again
]
MeshState = Literal["starting", "ready", "degraded", "stopping", "failed", "down"]


@dataclasses.dataclass
class ProcessStatus:
    """One process. Times are seconds since the epoch."""

    name: str
    state: ProcessState = "waiting"
    id: ProcessId | None = None
    started_at: float | None = None
    ready_at: float | None = None
    restarts: int = 0
    last_exit: str | None = None
    backoff_seconds: float | None = None

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self.id.pid if self.id else None

    def uptime_seconds(self, now: float) -> float | None:
        """Since its last start; None while it does not run."""
        return now - self.started_at if self.id and self.started_at is not None else None

    def as_json(self, now: float | None = None) -> dict[str, Any]:
        """For people's programs: flat."""
        uptime = self.uptime_seconds(time.time() if now is None else now)
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid,
            "uptime_seconds": None if uptime is None else round(uptime, 1),
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "backoff_seconds": self.backoff_seconds,
        }


@dataclasses.dataclass
class MeshStatus:
    """Everything. `error` is one sentence and `culprit` the process whose log says more."""

    state: MeshState
    supervisor: ProcessId | None
    separate_uids: bool
    started_at: float
    port_offset: int = 0
    ready_after_seconds: float | None = None
    step: str | None = None
    error: str | None = None
    culprit: str | None = None
    inputs: str | None = None
    processes: list[ProcessStatus] = dataclasses.field(default_factory=list)

    def is_alive(self) -> bool:
        """Whether the supervisor that wrote it still runs."""
        return self.supervisor is not None and self.supervisor.is_alive()

    def process(self, name: str) -> ProcessStatus | None:
        """One process by name."""
        return next((process for process in self.processes if process.name == name), None)


def write(paths: Paths, status: MeshStatus) -> None:
    """Replaces the status file atomically."""
    write_file(paths.status_file, json.dumps(dataclasses.asdict(status)) + "\n", 0o600)


def read(paths: Paths) -> MeshStatus | None:
    """What a supervisor last wrote, alive or not; None when there is nothing readable.

    Raises:
        PermissionError: the mesh belongs to another user.
    """
    try:
        raw = json.loads(paths.status_file.read_text("utf-8"))
        processes = [
            ProcessStatus(**{**process, "id": _process_id(process["id"])})
            for process in raw.pop("processes")
        ]
        supervisor = _process_id(raw.pop("supervisor"))
        return MeshStatus(**raw, supervisor=supervisor, processes=processes)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # of another version, or damaged: as good as none


def read_policy(paths: Paths) -> dict[str, Any] | None:
    """What became of the last edit of the policies, as the publisher wrote it: `state`,
    `revision`, `problem` and `time`. None when it wrote nothing readable.

    Raises:
        PermissionError: the mesh belongs to another user.
    """
    try:
        found = json.loads(paths.policy_status.read_text("utf-8"))
        return {name: found[name] for name in ("state", "revision", "problem", "time")}
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
        return None


class Reader:
    """Reads the status again and again, but parses it only when it has changed."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._seen: tuple[int, int] | None = None
        self._found: MeshStatus | None = None

    def read(self) -> MeshStatus | None:
        """As `read` of this module."""
        try:
            now = self._paths.status_file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        seen = (now.st_ino, now.st_mtime_ns)
        if seen != self._seen:
            self._found, self._seen = read(self._paths), seen
        return self._found


def _process_id(raw: dict[str, Any] | None) -> ProcessId | None:
    return ProcessId(**raw) if raw else None
