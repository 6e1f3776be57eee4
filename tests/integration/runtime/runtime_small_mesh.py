"""A supervisor of PostgreSQL and SPIRE alone: run by the tests as a process of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.runtime import lifecycle, status, supervisor
from paymesh.runtime.graph import Step
from paymesh.runtime.process import Spec
from paymesh.runtime.processes import Table
from paymesh.runtime.status import MeshStatus

PROGRAM = (str(Path(__file__).resolve()),)
_STEPS = {"roles", "migrations", "entries", "trust-bundle"}
PROCESSES = ("postgres", "spire-server", "spire-agent")


class SmallTable(Table):
    """What identities need, and nothing that uses them."""

    def steps(self) -> list[Step]:
        """Without the policy bundle."""
        return [step for step in super().steps() if step.name in _STEPS]

    def processes(self) -> list[Spec]:
        """Three of them."""
        return [spec for spec in super().processes() if spec.name in PROCESSES]

    async def follow(self, say: Callable[[str], None]) -> None:
        """Nobody asks for policy."""
        del say
        await asyncio.Event().wait()


@dataclasses.dataclass
class SmallMesh:
    """What the tests do to it."""

    paths: Paths
    mesh: Mesh

    def up(self) -> MeshStatus:
        """Starts the supervisor, or waits for the one that runs."""
        return lifecycle.start(self.paths, lambda _: None, PROGRAM)

    def down(self) -> bool:
        """Stops it."""
        return lifecycle.stop(self.paths, lambda _: None)

    def status(self) -> MeshStatus:
        """As the supervisor last wrote it."""
        found = status.read(self.paths)
        assert found is not None
        return found

    def pids(self) -> dict[str, int | None]:
        """By process."""
        return {process.name: process.pid for process in self.status().processes}


if __name__ == "__main__":
    sys.exit(supervisor.main(SmallTable))
