"""What would have helped: the policy is asked about many changes of one question at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from paymesh.policy.explain import words
from paymesh.policy.explain.asking import Policy, is_allowed
from paymesh.policy.explain.changes import CALLER_WEIGHT, Change, changed
from paymesh.policy.explain.question import Question

Changes = tuple[Change, ...]
Values = Mapping[str, Any]
# A token and a role are two. More than three things at once are no help to anybody.
_AT_ONCE = 2
_MOST = 3
_MOST_SHOWN = 3


class Trials:
    """Answers to a question with every one and every two of the changes.

    Args:
        policy: that is asked.
        question: which it refuses.
        changes: that may be made.
        decision: the query; its value has `allowed`.
        also: other queries whose values are wanted.
    """

    def __init__(
        self,
        policy: Policy,
        question: Question,
        changes: Sequence[Change],
        decision: str,
        also: Sequence[str] = (),
    ) -> None:
        self._policy = policy
        self._question = question
        self._changes = changes
        self._decision = decision
        self._tried = list(self._try(range(1, _AT_ONCE + 1), [decision, *also]))

    def allowing(self) -> dict[Changes, Any]:
        """The smallest sets of changes with which the policy allows, the nearest first, and
        each with its decision.
        """
        found = self._allowed_among(self._tried)
        if not any(_is_callers_own(chosen) for chosen in found):
            more = self._try([_MOST], [self._decision], but=list(found))
            found |= self._allowed_among(more)
        own = {chosen: found[chosen] for chosen in found if _is_callers_own(chosen)}
        found = own or found  # another caller is no help to this one
        nearest = sorted(_smallest(found), key=lambda chosen: sum(c.weight for c in chosen))
        return {chosen: found[chosen] for chosen in nearest}

    def flipping(self, holds: Callable[[Values], bool]) -> list[Changes]:
        """The smallest sets of changes, but for those of the caller, that make something hold."""
        found = [chosen for chosen, values in self._tried if holds(values)]
        return _smallest([chosen for chosen in found if _is_callers_own(chosen)])

    def _try(
        self, sizes: Sequence[int], queries: Sequence[str], but: Sequence[Changes] = ()
    ) -> Iterator[tuple[Changes, Values]]:
        tried = [
            chosen
            for size in sizes
            for chosen in itertools.combinations(self._changes, size)
            if len({change.about for change in chosen}) == size
            and not any(set(smaller) <= set(chosen) for smaller in but)
        ]
        asked = (changed(self._question, chosen) for chosen in tried)
        for chosen, answer in zip(tried, self._policy.ask(asked, queries), strict=True):
            yield chosen, answer.values

    def _allowed_among(self, tried: Iterable[tuple[Changes, Values]]) -> dict[Changes, Any]:
        return {
            chosen: values[self._decision]
            for chosen, values in tried
            if is_allowed(values.get(self._decision))
        }


def _is_callers_own(chosen: Changes) -> bool:
    """Something that this caller could have done, and not another one."""
    return all(change.weight < CALLER_WEIGHT for change in chosen)


def _smallest(found: Iterable[Changes]) -> list[Changes]:
    """Those that contain no other one."""
    known = list(found)
    return [chosen for chosen in known if not any(set(other) < set(chosen) for other in known)]


def phrases(found: Sequence[Changes]) -> list[tuple[tuple[str, ...], Changes]]:
    """Sets of changes as people say them, a few, each with one of the sets that it stands for.

    Sets that differ in one value only are one remedy: `the role operator or auditor`.
    """
    groups: list[list[Changes]] = []
    for chosen in found:
        for group in groups:
            if _differ_in_one([*group, chosen]):
                group.append(chosen)
                break
        else:
            groups.append([chosen])
    return [(_merged(group), group[0]) for group in groups[:_MOST_SHOWN]]


def _differ_in_one(group: Sequence[Changes]) -> bool:
    if len({tuple(change.phrase for change in chosen) for chosen in group}) > 1:
        return False
    columns = zip(*group, strict=True)
    return sum(len({change.value for change in column}) > 1 for column in columns) <= 1


def _merged(group: Sequence[Changes]) -> tuple[str, ...]:
    merged = []
    for column in zip(*group, strict=True):
        values = list(dict.fromkeys(change.value for change in column))
        if column[0].graded:
            values = values[:1]
        merged.append(column[0].phrase.format(words.either(values)))
    return tuple(merged)
