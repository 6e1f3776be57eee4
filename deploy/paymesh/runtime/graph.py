"""In which order things start and stop: steps and processes by what they come after."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that is done once at each start, such as creating roles."""

    name: str
    action: Callable[[], Awaitable[None]]
    after: tuple[str, ...] = ()


def levels(after: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Names in groups: what is in a group comes after nothing in its own or a later one.

    Raises:
        ValueError: a name is unknown, or things wait for each other.
    """
    left = {name: set(others) for name, others in after.items()}
    unknown = {other for others in left.values() for other in others} - set(left)
    if unknown:
        raise ValueError(f"nothing is called {sorted(unknown)}")
    found: list[list[str]] = []
    done: set[str] = set()
    while left:
        group = sorted(name for name, others in left.items() if others <= done)
        if not group:
            raise ValueError(f"these wait for each other: {sorted(left)}")
        found.append(group)
        done.update(group)
        for name in group:
            del left[name]
    return found
