"""What counts as executed, and what makes a measurement void."""

from __future__ import annotations

import dataclasses

import pytest
from probe_stage import GET_BALANCE, MESH, RPCS, WATCH, done, ground, planned, refused, tried

from paymesh.attack.model import INSIDE, Target, cells
from paymesh.attack.probe import controls
from paymesh.attack.probe.attempts import Attempt, Verdict
from paymesh.attack.probe.errors import ProbeError
from paymesh.attack.probe.evidence import Line
from paymesh.attack.probe.judging import (
    Probed,
    judge_rpc,
    probed,
    require_consistent,
    require_known,
)

INSIDE_CELLS = [cell for cell in cells(MESH, RPCS) if cell.state.position == INSIDE]


@pytest.fixture(name="attempts", scope="module")
def all_at_one_position(tmp_path_factory: pytest.TempPathFactory) -> list[Attempt]:
    """What is planned for an intruder inside."""
    return planned(ground(tmp_path_factory.mktemp("home")), INSIDE)


def _one(attempts: list[Attempt], target: Target) -> Attempt:
    return next(attempt for attempt in attempts if attempt.target == target)


def _line(attempt: Attempt, target: Target, code: str) -> Line:
    return Line(attempt.id, target, code)


def test_a_call_is_executed_when_its_callee_says_so(attempts: list[Attempt]) -> None:
    """An answer and the callee's line with status OK are an edge; the answer alone is none."""
    attempt = _one(attempts, GET_BALANCE)
    answered = tried(attempt, "answered", 0)
    assert judge_rpc(answered, [_line(attempt, GET_BALANCE, "OK")]).seen
    assert not judge_rpc(answered, []).seen
    assert judge_rpc(answered, []).answered


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "NOT_FOUND", "UNAUTHENTICATED", "CANCELLED"])
def test_a_call_that_its_callee_refused_is_not_executed(attempts: list[Attempt], code: str) -> None:
    """That a call arrived at the app is no edge."""
    attempt = _one(attempts, GET_BALANCE)
    verdict = judge_rpc(tried(attempt, "answered", 7), [_line(attempt, GET_BALANCE, code)])
    assert (verdict.answered, verdict.seen) == (False, False)


def test_calls_that_the_callee_makes_itself_are_not_the_canary(attempts: list[Attempt]) -> None:
    """Under the same trace id another RPC, or the same one of another workload, counts for
    nothing.
    """
    attempt = _one(attempts, GET_BALANCE)
    others = [
        _line(attempt, Target("ledger", "/paymesh.ledger.v1.LedgerService/PostTransfer"), "OK"),
        _line(attempt, Target("payments", GET_BALANCE.method), "OK"),
    ]
    assert not judge_rpc(tried(attempt, "answered", 7), others).seen


def test_a_stream_without_an_end_counts_once_it_has_answered(attempts: list[Attempt]) -> None:
    """Watch is logged as cancelled when its asker leaves: with its first message it was
    executed, without it was not.
    """
    attempt = _one(attempts, WATCH)
    lines = [_line(attempt, WATCH, "CANCELLED")]
    assert judge_rpc(tried(attempt, "answered", 0), lines).seen
    assert not judge_rpc(tried(attempt, "failed"), lines).seen


def test_a_malformed_request_makes_the_measurement_void(attempts: list[Attempt]) -> None:
    """A refusal of what nobody could be granted says nothing of who is asking."""
    attempt = _one(attempts, GET_BALANCE)
    with pytest.raises(ProbeError, match="malformed"):
        judge_rpc(tried(attempt, "answered", 3), [_line(attempt, GET_BALANCE, "INVALID_ARGUMENT")])


def test_an_answer_without_evidence_makes_the_measurement_void(attempts: list[Attempt]) -> None:
    """It is neither an edge nor a refusal, and the error names the attempt but no secret."""
    attempt = _one(attempts, GET_BALANCE)
    verdict = Verdict(tried(attempt, "answered", 0), answered=True, seen=False)
    assert not probed([*map(refused, attempts), verdict], INSIDE_CELLS).graph
    with pytest.raises(ProbeError, match="nothing shows it at the target") as caught:
        require_consistent([verdict])
    assert "GetBalance" in str(caught.value)
    assert "token of" not in str(caught.value)


def test_evidence_without_an_answer_makes_the_measurement_void(attempts: list[Attempt]) -> None:
    """A target that executed what it refused contradicts itself."""
    attempt = _one(attempts, GET_BALANCE)
    with pytest.raises(ProbeError, match="not answered so"):
        require_consistent([Verdict(tried(attempt, "answered", 7), answered=False, seen=True)])


def _found(verdicts: list[Verdict]) -> Probed:
    return probed(verdicts, INSIDE_CELLS)


def test_no_answer_at_all_is_not_a_refusal(attempts: list[Attempt]) -> None:
    """A call that timed out each time leaves its cells unknown, which makes the measurement
    void, unless others have shown that they are edges.
    """
    lost, other = [a for a in attempts if a.target == GET_BALANCE and a.way == "in plaintext"][:2]
    assert lost.credential == "none"
    silent = Verdict(tried(lost, "failed"), answered=False, seen=False)
    rest = [refused(attempt) for attempt in attempts if attempt.id not in {lost.id, other.id}]
    with pytest.raises(ProbeError, match="no answer that says anything"):
        require_known(_found([*rest, silent, refused(other)]), [silent])
    again = dataclasses.replace(lost, id=other.id)
    require_known(_found([*rest, silent, refused(other), done(again)]), [silent])


def test_a_process_that_ended_meanwhile_makes_the_measurement_void() -> None:
    """What refused may have been nothing but its absence."""
    controls.require_unchanged({"ledger-app": 1}, {"ledger-app": 1})
    with pytest.raises(ProbeError, match="ledger-app"):
        controls.require_unchanged({"ledger-app": 1, "gateway": 2}, {"ledger-app": 3, "gateway": 2})


def test_a_target_that_nobody_reaches_makes_the_measurement_void(attempts: list[Attempt]) -> None:
    """Refusals prove nothing where not even its owner is seen to get through."""
    verdicts = [done(attempt) for attempt in attempts]
    found = dataclasses.replace(_found(verdicts), graph=controls.ALWAYS | _found(verdicts).graph)
    controls.require_successes(found, verdicts, MESH)
    without = frozenset(cell for cell in found.graph if cell.target != WATCH)
    with pytest.raises(ProbeError, match="Watch"):
        controls.require_successes(dataclasses.replace(found, graph=without), verdicts, MESH)


def test_what_is_allowed_in_every_arm_has_to_work(attempts: list[Attempt]) -> None:
    """A mesh that refuses everything looks safe and measures nothing."""
    verdicts = [done(attempt) for attempt in attempts]
    with pytest.raises(ProbeError, match="allowed in every arm"):
        controls.require_successes(_found(verdicts), verdicts, MESH)
