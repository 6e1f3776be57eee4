"""What a second call with a known key is told."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.idempotency import (
    Answer,
    Failure,
    Finished,
    InUse,
    Known,
    Reused,
    Rpc,
    Success,
    backoff_seconds,
    hash_key,
    hash_request,
    judge,
)

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
SAME, OTHER = b"s" * 32, b"o" * 32
ANSWERS = [Success(b"reply"), Failure("NOT_FOUND", "LINK_NOT_FOUND", "No.", {})]


def _known(answer: Answer | None, left_seconds: float) -> Known:
    return Known(uuid.uuid4(), SAME, answer, NOW + dt.timedelta(seconds=left_seconds))


@pytest.mark.parametrize("answer", [None, *ANSWERS])
@pytest.mark.parametrize("left_seconds", [-1.0, 0.0, 1.0])
def test_another_request_is_reused_whatever_became_of_the_first(
    answer: Answer | None, left_seconds: float
) -> None:
    """Another request never gets an answer that was not given to it."""
    assert judge(_known(answer, left_seconds), OTHER, NOW) == Reused()


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("left_seconds", [-1.0, 0.0, 1.0])
def test_finished_request_gets_its_answer(answer: Answer, left_seconds: float) -> None:
    """An answer is an answer, whatever is left of the lease."""
    assert judge(_known(answer, left_seconds), SAME, NOW) == Finished(answer)


@given(st.floats(0.001, 1e6))
def test_running_request_is_in_use_for_at_most_what_is_left(left_seconds: float) -> None:
    """The hint is positive, at most two seconds, and not after the lease has ended."""
    verdict = judge(_known(None, left_seconds), SAME, NOW)
    assert isinstance(verdict, InUse)
    assert 0 < verdict.retry_after_seconds <= min(2.0, left_seconds + 1e-6)


@pytest.mark.parametrize("left_seconds", [0.0, -0.001, -1e6])
def test_lease_that_ran_out_is_free(left_seconds: float) -> None:
    """From the instant at which the lease ends, somebody else may take it."""
    assert judge(_known(None, left_seconds), SAME, NOW) is None


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_backoff_grows_and_is_bounded(fewer: int, more: int) -> None:
    """More attempts never wait less; nobody waits less than 1 s or more than 300 s."""
    fewer, more = sorted((fewer, more))
    assert 1 <= backoff_seconds(fewer) <= backoff_seconds(more) <= 300


fields = st.dictionaries(
    st.text(max_size=8), st.one_of(st.none(), st.text(max_size=8), st.integers()), max_size=4
)


@given(fields, fields)
def test_requests_have_equal_hashes_when_and_only_when_they_are_equal(
    first: dict[str, str | int | None], second: dict[str, str | int | None]
) -> None:
    """The canonical form neither loses a difference nor makes one, in whatever order."""
    backwards = dict(reversed(list(first.items())))
    assert hash_request(Rpc.CREATE_PAYMENT, first) == hash_request(Rpc.CREATE_PAYMENT, backwards)
    equal = hash_request(Rpc.CREATE_PAYMENT, first) == hash_request(Rpc.CREATE_PAYMENT, second)
    assert equal == (first == second)
    assert hash_request(Rpc.CREATE_PAYMENT, first) != hash_request(Rpc.REFUND_PAYMENT, first)


def test_key_is_kept_as_a_hash() -> None:
    """Nothing of a client's key can be read from what is stored."""
    assert len(hash_key("order-1")) == 32
    assert b"order" not in hash_key("order-1")
