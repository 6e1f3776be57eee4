"""An arm started, everything in it tried, and what worked held against the computed graph."""

from __future__ import annotations

import concurrent.futures
import time
from pathlib import Path

from paymesh.attack.arms import Stage, running
from paymesh.attack.computed import computed
from paymesh.attack.inventory import Inventory
from paymesh.attack.inventory.declared import FILE
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
        problems = _inventory(stage)
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


def _inventory(stage: Stage) -> list[str]:
    """Where the inventory and what runs differ: nothing may listen that it does not name, and
    the computed graph is only worth something while owners and modes are as it says.
    """
    inventory = Inventory.load(stage.root, stage.mesh)
    undeclared = inventory.undeclared(stage.paths, stage.mesh)
    missing = inventory.missing(stage.paths, stage.mesh)
    wrong = inventory.wrong(stage.paths, stage.mesh)
    found = [
        *(f"{one} listens and is not in {FILE}" for one in undeclared),
        *(f"{one.address} of {one.process} is in {FILE} and does not listen" for one in missing),
        *(f"{one}; {FILE} says otherwise" for one in wrong),
    ]
    return [f"arm {stage.arm}: {words}" for words in found]
