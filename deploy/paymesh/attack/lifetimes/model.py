"""What is said of each credential: how long it goes on working once it is stolen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from paymesh.attack.model import NONE, Graph, State


@dataclasses.dataclass(frozen=True)
class Lifetime:
    """How long a credential is of use to a thief.

    Attributes:
        kind: of identity or credential, as in `paymesh.attack.model`: `live`, `user`, ….
        credential: in words.
        ended_by: what ends it.
        seconds: from the theft of a fresh one to the last thing done with it, at the configuration
            that was read; None when nothing ends it by itself, 0 when it opens nothing.
        measured: what was seen, with numbers.
        contradicted: what was seen and does not go with the above; to be empty.
        works_from: positions where it opens something that is closed without it.
    """

    kind: str
    credential: str
    ended_by: str
    seconds: int | None
    measured: tuple[str, ...] = ()
    contradicted: tuple[str, ...] = ()
    works_from: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return dataclasses.asdict(self)


def placed(found: Iterable[Lifetime], graph: Graph, order: Sequence[str]) -> list[Lifetime]:
    """The same with the positions that they work from, by the graph that was probed.

    Args:
        found: as measured.
        graph: every edge of the arm that they were measured in.
        order: all positions, as `paymesh.attack.model.positions` lists them.
    """
    edges = {(cell.state, cell.target) for cell in graph}
    positions: dict[str, set[str]] = {}
    for state, target in edges:
        for kind, without in _less(state):
            if (without, target) not in edges:
                positions.setdefault(kind, set()).add(state.position)
    return [
        dataclasses.replace(
            lifetime, works_from=tuple(p for p in order if p in positions.get(lifetime.kind, ()))
        )
        for lifetime in found
    ]


def _less(state: State) -> list[tuple[str, State]]:
    """The kinds of what a state has, each with the state that lacks just that."""
    found = []
    if state.identity != NONE:
        found.append((state.identity_kind, dataclasses.replace(state, identity=NONE)))
    if state.credential != NONE:
        kind = state.credential.partition(":")[0]
        found.append((kind, dataclasses.replace(state, credential=NONE)))
    return found
