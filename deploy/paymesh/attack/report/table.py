"""Results on a terminal: lines of plain text, as wide as they need to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paymesh.attack.model import Arm
from paymesh.attack.report.remains import remains
from paymesh.attack.report.result import (
    ARM_NAMES,
    CLAIM_PERCENT,
    Result,
    Row,
    claim,
    percent,
    rows,
    rows_by_start,
    seconds_in_words,
)


def table(result: Result) -> list[str]:
    """M1 to M3: arms are columns, each with its count and percent less than A; and where 62 %
    fewer lies.
    """
    arms = list(result.graphs)
    found = rows(result.figures)
    lines = [["", *(f"{arm} {ARM_NAMES[arm]}" for arm in arms)]]
    for row in found:
        name = f"  {row.name}" if row.part else row.name
        lines.append([name, *(_value(row, arm) for arm in arms)])
    lines.append([""] * (len(arms) + 1))
    lines += [
        [row.name, *(_value(row, arm) for arm in arms)] for row in rows_by_start(result.figures)
    ]
    claims = [(row, claim(row)) for row in found if not row.part]
    return [
        *_columns(lines),
        "",
        *(f"{CLAIM_PERCENT} % fewer of {row.name}: {words}" for row, words in claims if words),
    ]


def _value(row: Row, arm: Arm) -> str:
    if arm == "A" or not row.values.get("A"):
        return str(row.values[arm])
    return f"{row.values[arm]} ({percent(row.reduction(arm))})"


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            [line[0].ljust(widths[0])]
            + [text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True)]
        ).rstrip()
        for line in lines
    ]


def lifetimes(result: Result) -> Iterator[str]:
    """M4: a line each, and what was measured of it below."""
    for one in result.lifetimes:
        yield f"  {one.credential}: {seconds_in_words(one.seconds)}; {one.ended_by}"
        if one.works_from:
            yield f"    works from {', '.join(one.works_from)}"
        yield from (f"    measured: {words}" for words in one.measured)


def remaining(result: Result) -> Iterator[str]:
    """M5: each reason, and under it who can do what."""
    for one in remains(result.universe, result.remaining):
        yield f"  {one.why} ({_count(one.edges)})"
        for line in one.lines:
            because = f": {line.why}" if line.why else ""
            yield f"    {line.who} → {line.what} ({_count(line.edges)}){because}"


def _count(edges: int) -> str:
    return f"{edges} edges" if edges > 1 else "1 edge"
