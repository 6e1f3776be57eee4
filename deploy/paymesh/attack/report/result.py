"""What one run found, and what is said of it everywhere: rows, reductions, where 62 % lies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from paymesh.attack.metrics import STARTS, Figures
from paymesh.attack.model import Arm, Graph
from paymesh.attack.report.blocks import Universe
from paymesh.attack.report.remaining import Explained

CLAIM_PERCENT = 62
"""Of the sentence that docs/attack-paths.md begins with."""

ARM_NAMES: Mapping[Arm, str] = {
    "A": "perimeter",
    "B": "mTLS",
    "C": "+ network",
    "D": "+ service policy",
    "E": "everything",
}


class Lifetime(Protocol):
    """M4, a line: how long one kind of credential goes on working."""

    @property
    def credential(self) -> str:
        """What is stolen, in words."""

    @property
    def works_from(self) -> tuple[str, ...]:
        """Positions."""

    @property
    def ended_by(self) -> str:
        """What puts an end to it."""

    @property
    def seconds(self) -> int | None:
        """At most; None where nothing ends it by itself."""

    @property
    def measured(self) -> tuple[str, ...]:
        """What was seen, with numbers that differ from run to run."""


@dataclasses.dataclass(frozen=True)
class Result:
    """Everything that is reported.

    Attributes:
        universe: what there is to try.
        cells: how many cells each arm has.
        graphs: by arm; those that were looked at.
        figures: by the same arms.
        remaining: M5, the edges of arm E with their reasons; empty without arm E.
        lifetimes: M4; empty where nothing was started.
    """

    universe: Universe
    cells: int
    graphs: Mapping[Arm, Graph]
    figures: Mapping[Arm, Figures]
    remaining: tuple[Explained, ...] = ()
    lifetimes: tuple[Lifetime, ...] = ()


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table. `part` says of M3 by jewel that it is a part of the line above."""

    name: str
    values: Mapping[Arm, int]
    part: bool = False

    def reduction(self, arm: Arm) -> int | None:
        """Percent less than arm A, rounded down; None where there is nothing to compare."""
        before = self.values.get("A", 0)
        return (before - self.values[arm]) * 100 // before if before else None

    def reached(self) -> Arm | None:
        """The first arm that has at least `CLAIM_PERCENT` percent less than arm A."""
        before = self.values.get("A", 0)
        for arm, value in self.values.items():
            if before and (before - value) * 100 >= CLAIM_PERCENT * before:
                return arm
        return None


def rows(figures: Mapping[Arm, Figures]) -> list[Row]:
    """The table, without its looks."""
    found = [
        Row("M1 direct", {arm: of.direct for arm, of in figures.items()}),
        Row("M1 minimal", {arm: of.minimal for arm, of in figures.items()}),
        Row("M2 compromise", {arm: of.compromise for arm, of in figures.items()}),
        Row("M3 paths to jewels", {arm: of.paths for arm, of in figures.items()}),
    ]
    jewels = dict.fromkeys(name for of in figures.values() for name in of.by_jewel)
    for jewel in jewels:
        values = {arm: of.by_jewel.get(jewel, 0) for arm, of in figures.items()}
        found.append(Row(jewel, values, part=True))
    return found


def rows_by_start(figures: Mapping[Arm, Figures]) -> list[Row]:
    """M1, M2 and M3 by what an attack begins with."""
    return [
        Row(f"{measure} {start}", {arm: of.by_start[start][n] for arm, of in figures.items()})
        for n, measure in enumerate(("M1", "M2", "M3"))
        for start in STARTS
    ]


def claim(row: Row) -> str:
    """Where 62 % fewer lies in a row, in words."""
    before = row.values.get("A", 0)
    last = list(row.values)[-1]
    if "A" not in row.values or last == "A":
        return ""
    if not before:
        return "nothing to reduce"
    arm = row.reached()
    if arm is None:
        return f"not reached: {percent(row.reduction(last))} at {last}"
    previous = list(row.values)[list(row.values).index(arm) - 1]
    less = f" ({percent(row.reduction(previous))})" if previous != "A" else ""
    return f"between {previous}{less} and {arm} ({percent(row.reduction(arm))})"


def percent(reduction: int | None) -> str:
    """A reduction as it is printed."""
    if reduction is None:
        return "-"
    if reduction == 0:
        return "0 %"
    return f"-{reduction} %" if reduction > 0 else f"+{-reduction} %"


def seconds_in_words(seconds: int | None) -> str:
    """A lifetime as it is printed: `1 h 15 min 5 s`."""
    if seconds is None:
        return "no end of its own"
    words = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        words += [f"{count} {unit}"] if count else []
    return " ".join(words) or "0 s"


def json_rows(found: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows for programs."""
    return [
        {
            "name": row.name,
            "part_of_m3": row.part,
            "counts": dict(row.values),
            "percent_less_than_A": {arm: row.reduction(arm) for arm in row.values},
            "62_percent": claim(row),
        }
        for row in found
    ]
