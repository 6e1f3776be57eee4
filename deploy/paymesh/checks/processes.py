"""Processes: all running, none starting over and over."""

from __future__ import annotations

from collections.abc import Iterator

from paymesh.checks.model import Context, Finding, Section
from paymesh.runtime import lifecycle

_section = Section("processes")


def check(context: Context) -> Iterator[Finding]:
    """Yields the supervisor and each process."""
    status = lifecycle.running(context.paths)
    if status is None:
        yield _section.problem("the mesh is up", "no supervisor runs", "run `paymesh up`")
        return
    yield _section.ok("the mesh is up")
    for process in status.processes:
        name = f"{process.name} is ready"
        if process.state == "ready":
            yield _section.ok(name)
        else:
            yield _section.problem(
                name,
                f"it is {process.state}, last exit {process.last_exit or 'none'},"
                f" {process.restarts} restarts",
                f"see `paymesh logs {process.name}`",
            )
