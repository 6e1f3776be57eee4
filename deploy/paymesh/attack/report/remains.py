"""M5 for people: what remains, by reason, and under each reason who can do what."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable

from paymesh.attack.model import FORWARD, Cell, Target
from paymesh.attack.report.blocks import (
    Block,
    Universe,
    blocks,
    certificates,
    credentials,
    in_words,
)
from paymesh.attack.report.remaining import Explained


@dataclasses.dataclass(frozen=True)
class Line:
    """Who can do what at one destination. `why` is the reason of the grant behind it, if any."""

    who: str
    destination: str
    methods: tuple[str, ...]
    edges: int
    why: str

    @property
    def what(self) -> str:
        """The destination and the methods, each by its last part."""
        return f"{self.destination}: {', '.join(self.methods)}"


@dataclasses.dataclass(frozen=True)
class Remains:
    """A reason and all that it is the reason of."""

    why: str
    edges: int
    lines: tuple[Line, ...]


def remains(universe: Universe, edges: Iterable[Explained]) -> list[Remains]:
    """Every edge in one line; the reason with the most edges first."""
    by_why: dict[str, list[Explained]] = defaultdict(list)
    for one in edges:
        by_why[one.why].append(one)
    found = [Remains(why, len(of), tuple(_lines(universe, of))) for why, of in by_why.items()]
    return sorted(found, key=lambda one: (-one.edges, one.why))


def _lines(universe: Universe, edges: Iterable[Explained]) -> list[Line]:
    whys = {one.cell: one.grant_why for one in edges}
    by_target: dict[tuple[Target, str, str, str], list[str]] = defaultdict(list)
    counts: dict[tuple[Target, str, str, str], int] = defaultdict(int)
    for why in sorted(set(whys.values())):
        cells: list[Cell] = [cell for cell, of in whys.items() if of == why]
        for block in blocks(universe, cells):
            key = (block.target, _shown(universe, block), credentials(universe, block), why)
            by_target[key] += block.positions
            counts[key] += len(block)
    methods: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    numbers: dict[tuple[str, str, str], int] = defaultdict(int)
    for (target, shown, held, why), positions in by_target.items():
        merged = (in_words(universe, positions, shown, held), target.destination, why)
        methods[merged].append(target.method.rpartition("/")[2])
        numbers[merged] += counts[target, shown, held, why]
    return [
        Line(who, destination, tuple(of), numbers[who, destination, why], why)
        for (who, destination, why), of in methods.items()
    ]


def _shown(universe: Universe, block: Block) -> str:
    """Certificates in words; nothing where only one was tried."""
    if not block.target.is_rpc and block.target.method != FORWARD:
        return ""
    if all(block.identities == universe.identities[name] for name in block.positions):
        return "with any certificate or none"
    return certificates(universe, block)
