"""What a policy reads and no question varies: what depends on it is not in the matrix.

A back door behind a header that nobody asks with looks like no change at all. What a policy
reads is known without asking it, so it is seen there.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paymesh.policy import candidate, engine
from paymesh.policy.engine import EACH, Place
from paymesh.policy.matrix.plan import Plan
from paymesh.policy.matrix.shapes import SAMPLES
from paymesh.policy.matrix.source import Source

_ABSENT = "absent"
# Where nothing stands, and where each member of an object is meant, whatever its name.
_NOTHING, _EVERYTHING = object(), object()
_BODY = "parsed_body"


@dataclasses.dataclass(frozen=True)
class Unasked:
    """A place that a decision depends on and no question varies. `is_all` of an object or array
    that is read in full: no questions have every one that there could be.
    """

    query: str
    place: Place
    is_all: bool
    is_approved: bool = False

    @property
    def words(self) -> str:
        """What is read."""
        if not self.place.path:
            return f"the whole {self.place.document}"
        return f"all of {self.place.name}" if self.is_all else self.place.name

    def as_json(self) -> dict[str, Any]:
        """Everything that is known of it."""
        return {
            "input": self.place.name,
            "whole": self.is_all,
            "decision": self.query,
            "approved": self.is_approved,
        }


Reads = Mapping[str, Sequence[Place]]


def reads(source: Source, pdp: Path) -> Reads:
    """The places of both decisions.

    Raises:
        SetupError: the policy does not compile.
    """
    with candidate.unpacked(source.files) as directory:
        return engine.reads(pdp, directory)


def unasked(plan: Plan, source: Source, head: Reads, base: Reads | None = None) -> list[Unasked]:
    """The places that `head` reads and no question varies.

    Args:
        plan: the questions.
        source: whose environment they are asked in.
        head: what a policy reads.
        base: what another one reads: left out of the answer.
    """
    found = []
    for query, part in ((engine.AUTHZ, plan.calls()), (engine.OBJECTS, plan.actions())):
        new = newly(head[query], base[query] if base else ())
        asked = list(part.questions(source.environment)) if new else []
        for place in new:
            values = [
                value
                for question in asked
                for value in _values(_document(question, place.document), place.path)
            ]
            is_all = place.is_whole and any(map(_is_structure, values))
            if is_all or not _is_varied(place, values):
                found.append(Unasked(query, place, is_all))
    return found


def newly(head: Iterable[Place], base: Sequence[Place]) -> list[Place]:
    """The places of `head` that `base` does not read."""
    return [place for place in head if not any(known.includes(place) for known in base)]


def _is_varied(place: Place, values: Sequence[Any]) -> bool:
    """Whether two questions differ there. A sample says no more than if it were not there."""
    has_samples = place.path[:1] == (_BODY,)
    different = {
        _ABSENT
        if value is _NOTHING or (has_samples and value in SAMPLES)
        else json.dumps(value, sort_keys=True)
        for value in values
        if value is not _EVERYTHING
    }
    return _EVERYTHING not in values and len(different) > 1


def _document(question: Mapping[str, Any], name: str) -> Any:
    if name == "input":
        return question["input"]
    return (question["token"] or {}).get(name)


def _values(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if not path:
        yield value
    elif path[0] == EACH and isinstance(value, dict):
        yield _EVERYTHING
    elif path[0] == EACH and isinstance(value, list) and value:
        for element in value:
            yield from _values(element, path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _values(value[path[0]], path[1:])
    else:
        yield _NOTHING


def _is_structure(value: Any) -> bool:
    """Whether it is more than a scalar or a list of scalars."""
    elements = value if isinstance(value, list) else [value]
    return any(isinstance(element, dict | list) for element in elements)
