"""Sections of `paymesh check`, run one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from paymesh.checks import sections
from paymesh.checks.model import Finding, Level, Section
from paymesh.kube.errors import Unreachable


def _good(subject: str) -> Iterator[Finding]:
    yield Section("good").ok(subject)


def _broken(_: str) -> Iterator[Finding]:
    yield Section("broken").ok("first")
    raise ValueError("odd")


def _unreachable(_: str) -> Iterator[Finding]:
    raise Unreachable("nobody answers")
    yield


def test_a_section_that_breaks_is_a_finding() -> None:
    """What it found before stands, the others go on, and what to do depends on the error."""
    found = sections.run(
        {"broken": _broken, "unreachable": _unreachable, "good": _good},
        "the subject",
        "mend it",
        {Unreachable: "bring it up"},
    )
    assert list(found) == [
        Finding("broken", "first", Level.OK),
        Finding("broken", "can be checked", Level.PROBLEM, "ValueError: odd", "mend it"),
        Finding("unreachable", "can be checked", Level.PROBLEM, "nobody answers", "bring it up"),
        Finding("good", "the subject", Level.OK),
    ]
