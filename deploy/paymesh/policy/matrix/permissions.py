"""What a matrix allows, cell by cell and merged for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from paymesh.policy.matrix import subjects
from paymesh.policy.matrix.evaluate import ALLOWED, Answer, Cell, Matrix
from paymesh.policy.matrix.plan import Plan, Target
from paymesh.policy.matrix.shapes import Class
from paymesh.policy.matrix.words import describe

ANYBODY, EVERYBODY = "anybody", "everybody"


@dataclasses.dataclass(frozen=True)
class Part:
    """Classes of a cell, or of several that say the same, with the same answer."""

    caller: str
    target: Target
    users: tuple[str, ...]
    classes: tuple[Class, ...]
    answer: Answer

    @property
    def when(self) -> str:
        """The classes in words."""
        return describe(self.target.shape, self.classes)

    @property
    def is_whole(self) -> bool:
        """Whether the answer is the same whatever the message says."""
        return len(self.classes) == len(self.target.shape.classes)


def parts(cell: Cell) -> Iterator[Part]:
    """The cell's answers with their classes, in the classes' order."""
    by_answer: dict[Answer, list[Class]] = {}
    for one, answer in zip(cell.target.shape.classes, cell.answers, strict=True):
        by_answer.setdefault(answer, []).append(one)
    for answer, classes in by_answer.items():
        yield Part(cell.caller, cell.target, (cell.user.name,), tuple(classes), answer)


def allowed(matrix: Matrix) -> Iterator[Part]:
    """What gets through. Of a user with all roles only what is not a single role's too."""
    for cell in matrix.values():
        if cell.user.name == subjects.ALL and _is_sum_of_roles(matrix, cell):
            continue
        yield from (part for part in parts(cell) if part.answer.is_allowed)


def refused(matrix: Matrix) -> Iterator[Part]:
    """What does not."""
    for cell in matrix.values():
        yield from (part for part in parts(cell) if not part.answer.is_allowed)


def always_refused(matrix: Matrix) -> dict[str, tuple[str, ...]]:
    """Strangers that get nowhere → what they are told."""
    found: dict[str, dict[str, None]] = {}
    for cell in matrix.values():
        if cell.caller in subjects.STRANGERS:
            said = found.setdefault(cell.caller, {})
            said |= {answer.reason: None for answer in cell.answers}
    return {caller: tuple(sorted(said)) for caller, said in found.items() if ALLOWED not in said}


def reasons(matrix: Matrix, target: Target) -> dict[str, list[str]]:
    """Reason → callers that are refused for it when they call this."""
    found: dict[str, dict[str, None]] = {}
    for part in refused(matrix):
        if part.target.name == target.name:
            found.setdefault(part.answer.reason, {})[part.caller] = None
    return {reason: list(callers) for reason, callers in sorted(found.items())}


def merged(found: Iterable[Part]) -> list[Part]:
    """Parts that differ in the end user only, as one."""
    users: dict[tuple[object, ...], list[Part]] = {}
    for part in found:
        names = tuple(one.name for one in part.classes)
        users.setdefault((part.caller, part.target.name, names, part.answer), []).append(part)
    return [
        dataclasses.replace(same[0], users=tuple(user for part in same for user in part.users))
        for same in users.values()
    ]


def who(plan: Plan, users: Sequence[str]) -> str:
    """End users in words: `anybody` are all whose token is good, and those without one;
    `everybody` are also those whose token is not.
    """
    named = {*users, subjects.ALL}
    if named == {user.name for user in plan.users} | {subjects.ALL}:
        return EVERYBODY
    if named == {user.name for user in plan.users if user.is_genuine} | {subjects.ALL}:
        return ANYBODY
    return ", ".join(users)


def _is_sum_of_roles(matrix: Matrix, cell: Cell) -> bool:
    roles = [
        matrix[key].answers
        for role in cell.user.roles or ()
        if (key := (cell.caller, cell.target.name, role)) in matrix
    ]
    return bool(roles) and all(
        answer.is_allowed == any(answers[index].is_allowed for answers in roles)
        for index, answer in enumerate(cell.answers)
    )
