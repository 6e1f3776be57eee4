"""The order of starts and stops."""

from __future__ import annotations

import pytest

from paymesh.runtime.graph import levels


def test_nothing_comes_before_what_it_needs() -> None:
    """Groups are as early as they can be, and sorted."""
    after = {"d": ["b", "c"], "c": ["a"], "b": ["a"], "a": [], "z": []}
    assert levels(after) == [["a", "z"], ["b", "c"], ["d"]]


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        ({"a": ["b"], "b": ["a"]}, "wait for each other"),
        ({"a": ["a"]}, "wait for each other"),
        ({"a": ["elsewhere"]}, "elsewhere"),
    ],
)
def test_an_impossible_order_is_refused(after: dict[str, list[str]], problem: str) -> None:
    """At once, not by waiting for ever."""
    with pytest.raises(ValueError, match=problem):
        levels(after)
