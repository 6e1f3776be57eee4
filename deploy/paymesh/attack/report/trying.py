"""An arm started, everything in it tried, and what worked held against the computed graph."""

from __future__ import annotations

import concurrent.futures
import time
from pathlib import Path

from paymesh.attack.arms import Stage, running
from paymesh.attack.computed import computed
from paymesh.attack.inventory import Inventory
from paymesh.attack.lifetimes.measure import measure
from paymesh.attack.lifetimes.model import placed
from paymesh.attack.model import Arm
from paymesh.attack.probe.measure import probe
from paymesh.attack.report import difference
from paymesh.attack.report.blocks import Universe
from paymesh.attack.report.looking import Look, Say


def attempt(arm: Arm, source: Path, say: Say) -> Look:
    """The graph by trying everything in the running arm, held against the computed one.

    Raises:
        PaymeshError: the arm does not come up or cannot be probed.
    """
    started = time.monotonic()
    with (
        running(arm, source=source, progress=say) as stage,
        concurrent.futures.ThreadPoolExecutor(thread_name_prefix="attack-paths") as beside,
    ):
        problems = _undeclared(stage)
        configured = beside.submit(computed, stage.root, arm)
        living = beside.submit(measure, stage) if arm == "E" else None
        found = probe(stage, progress=say)
        say(f"arm {arm}: comparing with the computed graph")
        universe = Universe.of(stage.mesh)
        problems += difference.disagreement(
            universe, arm, found.graph, configured.result(), found.ways
        )
        lifetimes = (
            placed(living.result(), found.graph, list(universe.identities)) if living else []
        )
    problems += [f"{one.credential}: {words}" for one in lifetimes for words in one.contradicted]
    return Look(
        arm,
        found.graph,
        tuple(problems),
        found.ways,
        tuple(lifetimes),
        time.monotonic() - started,
    )


def _undeclared(stage: Stage) -> list[str]:
    found = Inventory.load(stage.root, stage.mesh).undeclared(stage.paths, stage.mesh)
    return [f"arm {stage.arm}: {words}" for words in found]
