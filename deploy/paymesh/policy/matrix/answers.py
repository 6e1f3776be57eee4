"""Who can call this, and what can this caller do: answered by evaluation."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any

from paymesh.calls import Catalogue
from paymesh.errors import ConfigError
from paymesh.policy.matrix.evaluate import Matrix
from paymesh.policy.matrix.permissions import Part, allowed, merged, refused, who
from paymesh.policy.matrix.plan import Plan
from paymesh.policy.matrix.source import Source

_CLOSED = "RPC_CLOSED"
_MOST_GUESSES = 3


@dataclasses.dataclass(frozen=True)
class Permission:
    """Somebody gets through. `grant`, `why` and `place` are empty for actions: rules allow them."""

    caller: str
    rpc: str
    users: tuple[str, ...]
    who: str
    when: str
    grant: str
    why: str
    place: str


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Somebody does not, whatever the message says."""

    rpc: str
    reason: str
    callers: tuple[str, ...]
    why: str = ""
    place: str = ""


def permissions(plan: Plan, matrix: Matrix, source: Source) -> list[Permission]:
    """What the matrix allows, in the order of the plan."""
    return [_permission(plan, source, part) for part in merged(allowed(matrix))]


def refusals(matrix: Matrix, source: Source) -> list[Refusal]:
    """RPC and reason → callers whom no end user helps."""
    helped = {(part.caller, part.target.name) for part in allowed(matrix)}
    found: dict[tuple[str, str], dict[str, None]] = {}
    for part in refused(matrix):
        if (part.caller, part.target.name) not in helped:
            found.setdefault((part.target.name, part.answer.reason), {})[part.caller] = None
    return [
        Refusal(rpc, reason, tuple(callers), *_because(source, rpc, reason))
        for (rpc, reason), callers in found.items()
    ]


def target(source: Source, plan: Plan, name: str) -> str:
    """The RPC or action that `name` means: whole, or as `paymesh call` takes it.

    Raises:
        ConfigError: there is none; names those that are like it.
    """
    known = [one.name for one in plan.targets]
    if name in known:
        return name
    try:
        method = Catalogue(source.descriptors).method(name)
    except ConfigError as error:
        raise ConfigError(f"{error}{_near(name, known)}") from error
    return f"/{method.containing_service.full_name}/{method.name}"


def one_of(name: str, known: Iterable[str], what: str) -> str:
    """`name` if it is known.

    Raises:
        ConfigError: it is not; names those that are like it.
    """
    names = list(known)
    if name in names:
        return name
    raise ConfigError(f"{name!r} is no {what}: there are {', '.join(names)}{_near(name, names)}")


def as_json(found: Iterable[Any]) -> list[dict[str, Any]]:
    """For `-o json`."""
    return [
        {("as" if key == "users" else key): value for key, value in vars(one).items()}
        for one in found
    ]


def _permission(plan: Plan, source: Source, part: Part) -> Permission:
    grant = part.answer.grant
    return Permission(
        part.caller,
        part.target.name,
        part.users,
        who(plan, part.users),
        part.when,
        grant,
        source.why.get(grant, ""),
        source.places.grant(grant) if grant else "",
    )


def _because(source: Source, rpc: str, reason: str) -> tuple[str, ...]:
    return (source.why.get(rpc, ""), source.places.closed(rpc)) if reason == _CLOSED else ()


def _near(name: str, known: Iterable[str]) -> str:
    """The end of a sentence with what may have been meant, by whole names and by their ends."""
    whole = {end.lower(): one for one in known for end in (one, one.rpartition("/")[2])}
    asked = (name.lower().rpartition("/")[2], name.lower())
    close = [match for text in asked for match in difflib.get_close_matches(text, whole)]
    found = list(dict.fromkeys(whole[match] for match in close))[:_MOST_GUESSES]
    return f"; did you mean {' or '.join(found)}?" if found else ""
