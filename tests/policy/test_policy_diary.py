"""The supervisor's log says what became of each edit."""

from __future__ import annotations

import pytest

from paymesh.policy.publisher import Status
from paymesh.runtime.policies import Diary

OLD, NEW = "1795000000000-0123456789ab", "1795000000001-0123456789ab"


def status(revision: str | None, problem: str = "") -> Status:
    """How an attempt went."""
    return Status("refused" if problem else "ok", revision, problem, "2026-01-01T00:00:00.000Z")


BROKEN = status(OLD, "policies/ does not compile: 1 error occurred:\n a.rego:3: no")
REFUSED = (
    f"policy refused, {OLD} stays in force:"
    " policies/ does not compile: 1 error occurred:; a.rego:3: no"
)
OTHER = f"policy refused, {OLD} stays in force: other"


PUBLISHED = f"policy published: {NEW} is in force"
MENDED = f"policy mended: {OLD} is in force"


@pytest.mark.parametrize(
    ("statuses", "lines"),
    [
        ([status(OLD), status(OLD)], []),
        ([status(OLD), status(NEW)], [PUBLISHED]),
        ([status(OLD), BROKEN, BROKEN], [REFUSED]),
        ([status(OLD), BROKEN, status(OLD)], [REFUSED, MENDED]),
        ([status(OLD), BROKEN, status(OLD), BROKEN], [REFUSED, MENDED, REFUSED]),
        ([BROKEN, status(OLD, "other")], [REFUSED, OTHER]),
        ([status(None, "no")], ["policy refused, there is none: no"]),
    ],
)
def test_each_thing_is_said_once(statuses: list[Status], lines: list[str]) -> None:
    """A refusal with file and problem, in one line; that it was mended; what is in force."""
    said: list[str] = []
    diary = Diary(said.append)
    for one in statuses:
        diary.note(one)
    assert said == lines
