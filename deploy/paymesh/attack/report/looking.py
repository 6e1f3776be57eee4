"""What was found in each arm, and what comes of all of it."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from paymesh.attack import metrics, model, rpcs
from paymesh.attack.arms import build
from paymesh.attack.computed import computed
from paymesh.attack.model import Arm, Cell, Graph
from paymesh.attack.report import difference, remaining
from paymesh.attack.report.blocks import Universe, blocks
from paymesh.attack.report.remaining import Explained
from paymesh.attack.report.result import Lifetime, Result
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Look:
    """What was found in one arm.

    Attributes:
        arm: which.
        graph: probed; computed where nothing was started.
        problems: sentences; empty when all is as it should be.
        ways: of an edge, how it was made to execute; empty where nothing was started.
        lifetimes: M4, of arm E.
        seconds: that it took.
    """

    arm: Arm
    graph: Graph
    problems: tuple[str, ...] = ()
    ways: Mapping[Cell, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    lifetimes: tuple[Lifetime, ...] = ()
    seconds: float = 0.0


def compute(arm: Arm, source: Path, say: Say) -> Look:
    """The graph from files only; nothing is started."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pm-arm-") as place:
        root = Path(place) / "paymesh"
        say(f"arm {arm}: copying the checkout")
        build(arm, source, root)
        say(f"arm {arm}: asking its configuration and policy")
        graph = computed(root, arm)
    return Look(arm, graph, seconds=time.monotonic() - started)


def conclude(root: Path, looks: Collection[Look]) -> tuple[Result, list[str]]:
    """Counts what was found, and gives what remains in arm E its reasons.

    Returns:
        The result, and sentences about all that is not as it should be.
    """
    mesh, grants = load_mesh(root), load_grants(root)
    problems = [problem for look in looks for problem in look.problems]
    explained: tuple[Explained, ...] = ()
    graphs = {look.arm: look.graph for look in looks}
    universe = Universe.of(mesh)
    if "E" in graphs:
        found = remaining.explain(mesh, grants, remaining.load(root), graphs["E"])
        explained = found.edges
        problems += [
            f"arm E: no reason in {remaining.FILE} for {difference.sentence(universe, block)}"
            for block in blocks(universe, found.without, merge=True)
        ]
        problems += [f"{remaining.FILE}: {sentence}" for sentence in found.unused]
    result = Result(
        universe=universe,
        cells=sum(1 for _ in model.cells(mesh, rpcs.served(mesh, root))),
        graphs=graphs,
        figures={arm: metrics.figures(mesh, graph) for arm, graph in graphs.items()},
        remaining=explained,
        lifetimes=tuple(one for look in looks for one in look.lifetimes),
    )
    return result, problems
