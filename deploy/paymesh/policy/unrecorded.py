"""What a policy reads and the decision log cannot hold: its mask leaves it out with its name.

A record that lacks such a header looks like a call that came without it, so replay would judge
it without a doubt. Values that the mask erases are another matter: null stands in their place.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from paymesh.errors import SetupError
from paymesh.paths import Paths
from paymesh.policy import candidate, engine, replay
from paymesh.policy.contents import Files
from paymesh.policy.engine import EACH, Place

# What somebody does so that the next records hold it.
MEND = "list it in policies/paymesh/log/mask.rego, publish, and replay what is recorded then"
_MASK = "data.paymesh.log.mask"
# A name that nobody lists: what becomes of it becomes of every name like it.
_UNLISTED = "x-paymesh-unlisted"


@dataclasses.dataclass(frozen=True)
class Unrecorded:
    """A place that the candidate reads and no record holds; `is_new` if the base reads it not."""

    place: Place
    is_new: bool


def found(pdp: Path, directory: Path, paths: Paths, before: Files) -> list[Unrecorded]:
    """What the candidate in `directory` reads and the records do not hold.

    Their mask is that of the policy in force, or of the policy `before` where there is none.

    Raises:
        SetupError: a policy does not compile.
    """
    published = replay.in_force(paths)
    with candidate.unpacked(published.files if published else before) as recorder:
        missing = unrecorded(pdp, directory, recorder)
    if not missing:
        return []
    with candidate.unpacked(before) as base:
        known = engine.reads(pdp, base, (engine.AUTHZ,))[engine.AUTHZ]
    return [
        Unrecorded(place, is_new=not any(one.includes(place) for one in known)) for place in missing
    ]


def unrecorded(pdp: Path, reader: Path, recorder: Path) -> list[Place]:
    """The places that decisions on calls depend on and that no record holds.

    Args:
        pdp: the decision point's program.
        reader: the policy that reads, unpacked.
        recorder: the policy whose mask the records were written with, unpacked.

    Raises:
        SetupError: a policy does not compile, or the mask does not answer.
    """
    read = [p for p in engine.reads(pdp, reader, (engine.AUTHZ,))[engine.AUTHZ] if _is_input(p)]
    probe: dict[str, Any] = {}
    # A message is an object or nothing; the headers are those of any call, and one more.
    _put(probe, ("attributes", "request", "http", "headers", _UNLISTED))
    _put(probe, ("parsed_body", _UNLISTED))
    for place in read:
        _put(probe, tuple(_UNLISTED if name == EACH else name for name in place.path))
    (answer,) = engine.decide(pdp, recorder, [{"input": probe, "token": None}], (_MASK,))
    if answer.error:
        raise SetupError(f"the mask of the decision log does not answer: {answer.error}")
    # Without a mask the whole input is left out, and the record says so itself.
    masks = [engine.path(pointer) for pointer in answer.values.get(_MASK, {}).get("leave_out", ())]
    return [place for place in read if any(_is_left_out(place, mask) for mask in masks)]


def _is_input(place: Place) -> bool:
    return place.document == "input"


def _put(document: dict[str, Any], path: tuple[str, ...]) -> None:
    """Makes something stand there, without a change of what stands there already."""
    for name in path[:-1]:
        below = document.setdefault(name, {})
        if not isinstance(below, dict):  # read in full, and its members too
            below = document[name] = {}
        document = below
    if path:
        document.setdefault(path[-1], "x")


def _is_left_out(place: Place, mask: tuple[str, ...]) -> bool:
    """Whether the mask takes the place, something above it, or a part of what is read in full."""
    takes = all(
        name == hidden or EACH in {name, hidden}
        for name, hidden in zip(place.path, mask, strict=False)
    )
    return takes and (place.is_whole or len(mask) <= len(place.path))
