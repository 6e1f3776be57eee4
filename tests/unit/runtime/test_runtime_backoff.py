"""How long a process that died is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paymesh.runtime.backoff import Backoff


def test_waits_double_up_to_the_most() -> None:
    """A process that dies at once is started ever more seldom, but never given up."""
    backoff = Backoff(first_seconds=1, most_seconds=5, stable_seconds=30)
    assert [backoff.after(0.1) for _ in range(5)] == [1, 2, 4, 5, 5]


def test_a_stable_run_is_forgiven() -> None:
    """Having run for long enough, a process starts over with the shortest wait."""
    backoff = Backoff(first_seconds=1, most_seconds=5, stable_seconds=30)
    waits = [backoff.after(ran) for ran in (0, 0, 30, 0)]
    assert waits == [1, 2, 1, 2]


def test_reset_forgets() -> None:
    """A start on request does not wait for what went wrong before."""
    backoff = Backoff(first_seconds=1)
    assert backoff.is_reset
    backoff.after(0)
    assert not backoff.is_reset
    backoff.reset()
    assert backoff.is_reset
    assert backoff.after(0) == 1


@given(st.lists(st.floats(min_value=0, max_value=1e6)))
def test_waits_stay_within_bounds(runs: list[float]) -> None:
    """Whatever a process does, the wait is between the first and the most."""
    backoff = Backoff()
    for ran in runs:
        assert backoff.first_seconds <= backoff.after(ran) <= backoff.most_seconds


def test_a_negative_run_is_a_mistake() -> None:
    """A clock that went backwards is not taken for a short run."""
    with pytest.raises(ValueError, match="cannot run"):
        Backoff().after(-1)
