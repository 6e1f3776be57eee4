"""Asking a policy that is not running."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paymesh.errors import SetupError
from paymesh.policy import engine
from paymesh.policy.explain import words
from paymesh.policy.explain.question import Question


class Unanswered(SetupError):
    """The policy cannot be asked what it was asked then."""


class Policy:
    """A policy in a directory, and the program that evaluates it."""

    def __init__(self, pdp: Path, directory: Path) -> None:
        self._pdp = pdp
        self._directory = directory

    def ask(
        self, questions: Iterable[Question], queries: Sequence[str], *, trace: bool = False
    ) -> list[engine.Answer]:
        """An answer for each question.

        Raises:
            SetupError: the policy does not load.
            Unanswered: a question cannot be evaluated.
        """
        answers = list(
            engine.decide(self._pdp, self._directory, questions, tuple(queries), trace=trace)
        )
        for answer in answers:
            if answer.error:
                raise Unanswered(f"The policy cannot be asked again: {answer.error}.")
        return answers

    def values(self, question: Question, queries: Sequence[str]) -> dict[str, Any]:
        """The values of one question by query; words.ABSENT where one is undefined."""
        found = self.ask([question], queries)[0].values
        return {query: found.get(query, words.ABSENT) for query in queries}


def is_allowed(value: object) -> bool:
    """Whether a decision allows."""
    return isinstance(value, Mapping) and value.get("allowed") is True
