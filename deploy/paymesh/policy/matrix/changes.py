"""Two matrices compared: every difference, and an edit in a few lines."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from paymesh.policy.matrix import subjects
from paymesh.policy.matrix.evaluate import Answer, Cell, Matrix
from paymesh.policy.matrix.plan import Plan, Target
from paymesh.policy.matrix.shapes import Class
from paymesh.policy.matrix.words import describe


class Kind(enum.StrEnum):
    """What became of an answer, the gravest first."""

    NEW = "new"
    REMOVED = "removed"
    REASON = "reason"
    GRANT = "grant"


@dataclasses.dataclass(frozen=True)
class Change:
    """Classes of one cell whose answers changed in the same way.

    `implied` says of a user with all roles that single roles' changes are the whole of it,
    `approved` of a new permission that a line of the change names it.
    """

    kind: Kind
    caller: str
    target: Target
    user: str
    classes: tuple[Class, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    implied: bool = False
    approved: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        """The end user's, for approvals."""
        return () if self.user == subjects.NONE else (self.user,)

    @property
    def when(self) -> str:
        """The classes in words."""
        return describe(self.target.shape, self.classes)

    def as_json(self) -> dict[str, Any]:
        """Everything that is known of it."""
        return {
            "kind": self.kind.value,
            "caller": self.caller,
            "rpc": self.target.name,
            "as": self.user,
            "when": self.when,
            "classes": [one.name for one in self.classes],
            "before": list(self.before),
            "after": list(self.after),
            "approved": self.approved,
        }


@dataclasses.dataclass(frozen=True)
class Group:
    """Changes that one sentence says."""

    kind: Kind
    callers: tuple[str, ...]
    targets: tuple[str, ...]
    users: tuple[str, ...]
    when: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    approved: bool


# What is worth a line of its own, and the side of it on which the reasons do not matter.
_GRAVE = {Kind.NEW: "before", Kind.REMOVED: "after"}


def compare(plan: Plan, base: Matrix, head: Matrix) -> list[Change]:
    """Every cell's changes, in the order of the plan."""
    found = [
        change
        for caller, target, user in plan.cells()
        for key in [(caller, target.name, user.name)]
        for change in _of_cell(base[key], head[key])
    ]
    roles = {user.name for user in plan.users if user.roles == (user.name,)}
    single = {
        (change.kind, change.caller, change.target.name, one.name)
        for change in found
        for one in change.classes
        if change.user in roles
    }
    return [dataclasses.replace(change, implied=_is_implied(change, single)) for change in found]


def grouped(changes: Iterable[Change]) -> list[Group]:
    """The changes in as few lines as say them: end users merged first, then RPCs, then callers.

    Of another reason it does not matter which messages it is given for.
    """
    groups = [
        Group(
            kind=change.kind,
            callers=(change.caller,),
            targets=(change.target.name,),
            users=(change.user,),
            when=change.when if change.kind in _GRAVE else "",
            before=change.before,
            after=change.after,
            approved=change.approved,
        )
        for change in changes
        if not change.implied
    ]
    for kind, apart in _GRAVE.items():
        same = [group for group in groups if group.kind is kind]
        groups = [group for group in groups if group.kind is not kind]
        groups += _merged(same, "users", apart)
    for field in ("users", "targets", "callers"):
        groups = _merged(groups, field)
    return sorted(groups, key=lambda group: list(Kind).index(group.kind))


def _of_cell(base: Cell, head: Cell) -> Iterator[Change]:
    by_kind: dict[tuple[Kind, Any], list[tuple[Class, Answer, Answer]]] = {}
    answers = zip(base.target.shape.classes, base.answers, head.answers, strict=True)
    for one, before, after in answers:
        if before != after:
            kind = _kind(before, after)
            # Of what gets through now it matters little why it did not.
            apart = None if kind in _GRAVE else (before, after)
            by_kind.setdefault((kind, apart), []).append((one, before, after))
    for (kind, _), same in by_kind.items():
        yield Change(
            kind,
            base.caller,
            base.target,
            base.user.name,
            tuple(one for one, _, _ in same),
            tuple(sorted({_name(before) for _, before, _ in same})),
            tuple(sorted({_name(after) for _, _, after in same})),
        )


def _kind(before: Answer, after: Answer) -> Kind:
    if after.is_allowed and not before.is_allowed:
        return Kind.NEW
    if before.is_allowed and not after.is_allowed:
        return Kind.REMOVED
    return Kind.GRANT if after.is_allowed else Kind.REASON


def _name(answer: Answer) -> str:
    return f"{answer.reason} {answer.grant}".strip()


def _is_implied(change: Change, single: set[tuple[Kind, str, str, str]]) -> bool:
    return change.user == subjects.ALL and all(
        (change.kind, change.caller, change.target.name, one.name) in single
        for one in change.classes
    )


def _merged(groups: Sequence[Group], *fields: str) -> list[Group]:
    """Groups that differ in `fields` only, as one."""
    same: dict[Group, list[Group]] = {}
    for group in groups:
        same.setdefault(_with(group, dict.fromkeys(fields, ())), []).append(group)
    return [
        _with(like, {field: _union(getattr(group, field) for group in found) for field in fields})
        for like, found in same.items()
    ]


def _with(group: Group, values: dict[str, tuple[str, ...]]) -> Group:
    changed: dict[str, Any] = dict(values)
    return dataclasses.replace(group, **changed)


def _union(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in lists for name in names))
