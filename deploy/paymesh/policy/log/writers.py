"""Whether somebody may still be writing the last line of a log."""

from __future__ import annotations

from paymesh.paths import Paths
from paymesh.policy.log.files import IsWritten
from paymesh.runtime import lifecycle


def is_written(paths: Paths) -> IsWritten:
    """By the supervisor's account of its processes: a line without a newline is one that is
    being written only if the decision point that began it still runs.
    """
    status = lifecycle.running(paths)

    def answer(workload: str, written_at: float) -> bool:
        process = status.process(f"{workload}-pdp") if status else None
        if process is None or process.pid is None or process.started_at is None:
            return False
        return written_at >= process.started_at

    return answer
