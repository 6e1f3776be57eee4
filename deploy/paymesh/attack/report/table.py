"""Results on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import rich.table

from paymesh.attack.report.blocks import asking
from paymesh.attack.report.result import (
    ARM_NAMES,
    CLAIM_PERCENT,
    Result,
    claim,
    grouped,
    percent,
    rows,
    seconds_in_words,
)


def table(result: Result) -> rich.table.Table:
    """M1 to M3: arms are columns, each with its count and percent less than A."""
    found = rich.table.Table(box=None, pad_edge=False)
    found.add_column(f"of {result.cells} cells")
    for arm in result.graphs:
        found.add_column(f"{arm} {ARM_NAMES[arm]}", justify="right")
        if arm != "A" and "A" in result.graphs:
            found.add_column("", justify="right")
    if "A" in result.graphs and len(result.graphs) > 1:
        found.add_column(f"{CLAIM_PERCENT} % fewer is")
    for row in rows(result.figures):
        cells = [f"  {row.name}" if row.part else f"[bold]{row.name}[/bold]"]
        for arm in result.graphs:
            cells.append(str(row.values[arm]))
            if arm != "A" and "A" in result.graphs:
                cells.append(f"[dim]{percent(row.reduction(arm))}[/dim]")
        if "A" in result.graphs and len(result.graphs) > 1:
            cells.append(claim(row))
        found.add_row(*cells)
    return found


def lifetimes(result: Result) -> rich.table.Table:
    """M4."""
    found = rich.table.Table(box=None, pad_edge=False)
    for name in ("what is stolen", "works for at most", "from", "ended by", "measured"):
        found.add_column(name)
    for one in result.lifetimes:
        found.add_row(
            one.credential,
            seconds_in_words(one.seconds),
            ", ".join(one.works_from),
            one.ended_by,
            "; ".join(one.measured),
        )
    return found


def remaining(result: Result) -> Iterator[str]:
    """M5: under each group of attackers what they can do, and why."""
    heading = ""
    for block, why in grouped(result):
        who = asking(result.universe, block)
        if who != heading:
            heading = who
            yield who
        count = f" ({len(block)} edges)" if len(block) > 1 else ""
        yield f"  → {block.target}{count}: {why}"
