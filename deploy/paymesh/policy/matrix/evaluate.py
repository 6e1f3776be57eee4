"""The answers of the real Rego: a run of the decision point's program for each of its questions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from paymesh.errors import SetupError
from paymesh.policy import candidate, engine
from paymesh.policy.matrix.plan import Plan, Target
from paymesh.policy.matrix.source import Source
from paymesh.policy.matrix.subjects import EndUser

ALLOWED = "ALLOWED"
# Not a reason of the policy's: it has no such decision.
UNDEFINED = "UNDEFINED"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What was decided on one class. `grant` is empty on a refusal, and of actions."""

    reason: str
    grant: str = ""

    @property
    def is_allowed(self) -> bool:
        """Whether it gets through."""
        return self.reason == ALLOWED


@dataclasses.dataclass(frozen=True)
class Cell:
    """One caller, one target, one kind of end user: an answer for each class of the target."""

    caller: str
    target: Target
    user: EndUser
    answers: tuple[Answer, ...]


Matrix = Mapping[tuple[str, str, str], Cell]


def evaluate(plan: Plan, source: Source, pdp: Path) -> dict[tuple[str, str, str], Cell]:
    """Caller, target and end user → what is decided, for every cell of the plan.

    Raises:
        SetupError: the policy does not compile, or an answer is missing.
    """
    with candidate.unpacked(source.files) as directory:
        return {
            key: cell
            for part, query in ((plan.calls(), engine.AUTHZ), (plan.actions(), engine.OBJECTS))
            if part.targets
            for key, cell in _cells(part, source, pdp, directory, query)
        }


def _cells(
    plan: Plan, source: Source, pdp: Path, directory: Path, query: str
) -> Iterator[tuple[tuple[str, str, str], Cell]]:
    found = engine.decide(pdp, directory, plan.questions(source.environment), (query,))
    answers = _answers(source, query, found)
    for caller, target, user in plan.cells():
        own = tuple(itertools.islice(answers, len(target.shape.classes)))
        if len(own) != len(target.shape.classes):
            raise SetupError(f"{source.label}: the policy left questions unanswered")
        yield (caller, target.name, user.name), Cell(caller, target, user, own)
    for _ in answers:
        raise SetupError(f"{source.label}: the policy answered more than it was asked")


def _answers(source: Source, query: str, found: Iterator[engine.Answer]) -> Iterator[Answer]:
    for answer in found:
        if answer.error or answer.partial:
            said = answer.error or f"it reads {', '.join(answer.partial)}, which was not asked"
            raise SetupError(f"{source.label}: the policy cannot be evaluated: {said}")
        yield _answer(answer.values.get(query))


def _answer(decision: object) -> Answer:
    if not isinstance(decision, dict):
        return Answer(UNDEFINED)
    reason = str(decision.get("reason", UNDEFINED))
    # Envoy goes by `allowed`; a refusal in words that lets through is none.
    if decision.get("allowed") is True:
        return Answer(ALLOWED, str(decision.get("grant", "")))
    return Answer(reason if reason != ALLOWED else "NOT_ALLOWED")
