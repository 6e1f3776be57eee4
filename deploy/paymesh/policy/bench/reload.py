"""From saving a file to every decision point deciding by it.

Each edit gives a grant or takes it back; every decision point is asked without pause, so
that its first new decision is seen within a few milliseconds. After it an old one must not
come again.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from paymesh.errors import PaymeshError, StartError
from paymesh.grants import load_grants
from paymesh.policy import publisher
from paymesh.policy.bench import points
from paymesh.policy.bench.asking import Asker, question
from paymesh.policy.bench.site import EDITED_CALLER, EDITED_RPC, Site

_FIRST_SECONDS = 60.0
_EDIT_SECONDS = 30.0
# Long enough to see an old decision after the new one, and not in step with any timer.
_PAUSE_SECONDS = (0.05, 0.25)


class OldDecisionError(PaymeshError):
    """A decision point went back to a policy that it had left."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """Milliseconds from the save to the first new decision of the slowest decision point."""

    edits: int
    grants: int
    decision_points: int
    decisions: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    by_decision_point_p99_ms: dict[str, float]


def measure(edits: int, grants: int, count: int | None, said: Callable[[str], None]) -> Measured:
    """Starts everything, edits, and takes it down again.

    Args:
        edits: how many.
        grants: that the policy has at least.
        count: of decision points; one for each service when left out.
        said: is told what is waited for.

    Raises:
        OldDecisionError: the one thing that must not happen.
        PaymeshError: something did not start, or an edit did not become effective.
    """
    with tempfile.TemporaryDirectory(prefix="pm-") as directory:
        said("the programs to start")
        site = Site.make(Path(directory), grants)
        status = asyncio.run(publisher.publish_once(site.settings()))
        if status.state != "ok":
            raise StartError(f"the checkout's policy is refused: {status.problem}")
        with points.running(site, count) as found, points.publishing(site):
            return asyncio.run(_measure(site, found, edits, said))


async def _measure(
    site: Site, found: Sequence[points.Point], edits: int, said: Callable[[str], None]
) -> Measured:
    asked = question(site.principal(EDITED_CALLER), EDITED_RPC)
    askers = [Asker(point.target, asked) for point in found]
    took: list[list[float]] = []
    async with _asking(askers):
        # The first edit waits for the publisher's process, and is not counted.
        for number, granted in zip(range(edits + 1), itertools.cycle((True, False)), strict=False):
            said(f"edit {number} of {edits}")
            seconds = await _edit(site, askers, granted=granted)
            if number:
                took.append([one * 1000 for one in seconds])
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 — no secret
            if any(asker.changes != number + 2 for asker in askers):
                raise OldDecisionError(f"after edit {number} an old decision followed a new one")
    slowest = [max(one) for one in took]
    return Measured(
        edits=edits,
        grants=len(load_grants(site.checkout).grants),
        decision_points=len(found),
        decisions=sum(asker.answers for asker in askers),
        p50_ms=round(statistics.median(slowest), 1),
        p99_ms=_p99(slowest),
        max_ms=round(max(slowest), 1),
        by_decision_point_p99_ms={
            point.name: _p99([one[index] for one in took]) for index, point in enumerate(found)
        },
    )


async def _edit(site: Site, askers: Sequence[Asker], *, granted: bool) -> list[float]:
    """Saves the file as most editors do, and returns the seconds until each one's decision."""
    text = site.edited(granted=granted)
    seconds = _FIRST_SECONDS if granted and askers[0].changes <= 1 else _EDIT_SECONDS
    saved = await asyncio.to_thread(_save, site.grants, text)
    arrived = await asyncio.gather(
        *(asker.until(allowed=granted, seconds=seconds) for asker in askers)
    )
    if not all(arrived):
        status = publisher.read_status(site.directory / "policy.json")
        raise StartError(f"an edit was not effective within {seconds:.0f} s: {status}")
    return [asker.changed_at - saved for asker in askers]


def _save(path: Path, text: str) -> float:
    fresh = path.with_name(f".{path.name}.saving")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)
    return time.monotonic()


@contextlib.asynccontextmanager
async def _asking(askers: Sequence[Asker]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(asker.run()) for asker in askers]
    try:
        first = (asker.until(allowed=False, seconds=_FIRST_SECONDS) for asker in askers)
        await asyncio.gather(*first)
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _p99(values: Sequence[float]) -> float:
    """The smallest value that 99 of 100 do not exceed."""
    ordered = sorted(values)
    return round(ordered[-(-99 * len(ordered) // 100) - 1], 1)
