"""Two results compared: exactly the edges that are new and those that are gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from paymesh.attack.model import Arm, Cell, Graph
from paymesh.attack.report.blocks import Block, Universe, asking, blocks


@dataclasses.dataclass(frozen=True)
class Difference:
    """What an arm has that it had not, and the reverse."""

    arm: Arm
    new: Graph
    gone: Graph

    def __bool__(self) -> bool:
        return bool(self.new or self.gone)

    def as_json(self) -> dict[str, Any]:
        """Every edge by itself."""
        return {
            "arm": self.arm,
            "new": [_cell(cell) for cell in sorted(self.new)],
            "gone": [_cell(cell) for cell in sorted(self.gone)],
        }


def compare(before: Mapping[Arm, Graph], after: Mapping[Arm, Graph]) -> list[Difference]:
    """The arms that both have."""
    return [
        Difference(arm, graph - before[arm], before[arm] - graph)
        for arm, graph in after.items()
        if arm in before
    ]


def lines(universe: Universe, difference: Difference) -> list[str]:
    """The difference for people; each edge is in exactly one line."""
    return [
        *(f"+ {sentence(universe, b)}" for b in blocks(universe, difference.new, merge=True)),
        *(f"- {sentence(universe, b)}" for b in blocks(universe, difference.gone, merge=True)),
    ]


def disagreement(
    universe: Universe,
    arm: Arm,
    probed: Graph,
    computed: Graph,
    ways: Mapping[Cell, tuple[str, ...]],
) -> list[str]:
    """A sentence about each cell in which both graphs differ; none when they are one."""
    found = []
    for block in blocks(universe, probed - computed, merge=True):
        tried = sorted({way for cell in block.cells() for way in ways.get(cell, ())})
        by = f" by way of {', '.join(tried)}" if tried else ""
        found.append(
            f"arm {arm}: probed and not computed: {sentence(universe, block)} executed{by}"
        )
    found += [
        f"arm {arm}: computed and not probed: {sentence(universe, block)}"
        for block in blocks(universe, computed - probed, merge=True)
    ]
    return found


def sentence(universe: Universe, block: Block) -> str:
    """`inside, gateway with live:ledger as alice → ledger/paymesh.….PostTransfer (2 edges)`."""
    count = f" ({len(block)} edges)" if len(block) > 1 else ""
    return f"{asking(universe, block)} → {block.target}{count}"


def _cell(cell: Cell) -> dict[str, str]:
    return {**dataclasses.asdict(cell.state), **dataclasses.asdict(cell.target)}
