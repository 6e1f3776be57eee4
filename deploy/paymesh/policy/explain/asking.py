"""Asking a policy: the question as it was, and what would have helped."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paymesh.errors import SetupError
from paymesh.policy import engine
from paymesh.policy.explain import words
from paymesh.policy.explain.changes import CALLER_WEIGHT, Change, changed
from paymesh.policy.explain.question import Question

# Sets of more changes than this are no help to anybody.
_MOST_CHANGES = 3
_MOST_SHOWN = 3


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


def remedies(
    policy: Policy, question: Question, changes: Sequence[Change], decision: str
) -> list[tuple[Change, ...]]:
    """The smallest sets of changes with which the policy allows, the nearest first.

    Args:
        policy: that is asked.
        question: which it refuses.
        changes: that may be made.
        decision: the query; its value has `allowed`.
    """
    found: list[tuple[Change, ...]] = []
    for size in range(1, _MOST_CHANGES + 1):
        tried = [
            chosen
            for chosen in combined(changes, size, least=size)
            if not any(set(better) <= set(chosen) for better in found)
        ]
        answers = policy.ask((changed(question, chosen) for chosen in tried), [decision])
        found += [
            chosen
            for chosen, answer in zip(tried, answers, strict=True)
            if is_allowed(answer.values.get(decision))
        ]
        if any(_is_callers_own(chosen) for chosen in found):
            break
    return sorted(found, key=lambda chosen: sum(change.weight for change in chosen))


def _is_callers_own(chosen: tuple[Change, ...]) -> bool:
    """Something that this caller could have done, and not another one."""
    return all(change.weight < CALLER_WEIGHT for change in chosen)


def combined(changes: Sequence[Change], most: int, *, least: int = 1) -> list[tuple[Change, ...]]:
    """Sets of changes that do not exclude each other, the smallest first."""
    return [
        chosen
        for size in range(least, most + 1)
        for chosen in itertools.combinations(changes, size)
        if len({change.about for change in chosen}) == size
    ]


def smallest(found: Sequence[tuple[Change, ...]]) -> list[tuple[Change, ...]]:
    """Those that contain no other one."""
    return [chosen for chosen in found if not any(set(other) < set(chosen) for other in found)]


def is_allowed(value: object) -> bool:
    """Whether a decision allows."""
    return isinstance(value, Mapping) and value.get("allowed") is True


def phrases(
    found: Sequence[tuple[Change, ...]],
) -> list[tuple[tuple[str, ...], tuple[Change, ...]]]:
    """Remedies as people say them, a few of them, each with one of the sets that it stands for.

    Sets that differ in one value only are one remedy: `the role operator or auditor`.
    """
    groups: list[list[tuple[Change, ...]]] = []
    for chosen in found:
        for group in groups:
            if _differ_in_one([*group, chosen]):
                group.append(chosen)
                break
        else:
            groups.append([chosen])
    return [(_merged(group), group[0]) for group in groups[:_MOST_SHOWN]]


def _differ_in_one(group: Sequence[tuple[Change, ...]]) -> bool:
    if len({tuple(change.phrase for change in chosen) for chosen in group}) > 1:
        return False
    columns = zip(*group, strict=True)
    return sum(len({change.value for change in column}) > 1 for column in columns) <= 1


def _merged(group: Sequence[tuple[Change, ...]]) -> tuple[str, ...]:
    merged = []
    for column in zip(*group, strict=True):
        values = list(dict.fromkeys(change.value for change in column))
        if column[0].graded:
            values = values[:1]
        merged.append(column[0].phrase.format(words.either(values)))
    return tuple(merged)
