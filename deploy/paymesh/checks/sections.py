"""Runs sections in the order in which one depends on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from paymesh.checks.model import Finding, Section

Subject = TypeVar("Subject")


def run(
    sections: Mapping[str, Callable[[Subject], Iterator[Finding]]],
    subject: Subject,
    mend: str,
    mends: Mapping[type[Exception], str] | None = None,
) -> Iterator[Finding]:
    """Every finding of every section. A section that breaks is a finding itself.

    Args:
        sections: name → what finds.
        subject: what each of them is given.
        mend: what to do when a section breaks.
        mends: the same for errors whose message says all by itself.
    """
    for name, check in sections.items():
        try:
            yield from check(subject)
        except Exception as error:  # noqa: BLE001 — whatever it is, the other sections go on
            for kind, own in (mends or {}).items():
                if isinstance(error, kind):
                    yield Section(name).problem("can be checked", str(error), own)
                    break
            else:
                problem = f"{type(error).__name__}: {error}"
                yield Section(name).problem("can be checked", problem, mend)
