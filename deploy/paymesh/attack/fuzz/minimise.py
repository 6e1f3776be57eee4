"""Makes what fails smaller while it goes on failing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def smallest(parts: Sequence[T], fails: Callable[[Sequence[T]], bool], tries: int = 200) -> list[T]:
    """Some of the parts, in their order, that still fail and of which none can be left out.

    Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
    Input", 2002), by leaving out alone.

    Args:
        parts: that fail as they are.
        fails: whether these do.
        tries: how often that is asked at most.
    """
    found = list(parts)
    size = max(len(found) // 2, 1)
    while tries > 0 and len(found) > 1:
        at = 0
        shorter = False
        while at < len(found) and tries > 0:
            without = [*found[:at], *found[at + size :]]
            tries -= 1
            if without and fails(without):
                found, shorter = without, True
            else:
                at += size
        if size == 1 and not shorter:
            break
        size = size if shorter and size <= len(found) // 2 else max(size // 2, 1)
    return found
