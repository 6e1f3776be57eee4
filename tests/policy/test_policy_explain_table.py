"""Every answer of the hand-written table, explained."""

from __future__ import annotations

import copy

import pytest

from paymesh.grants import load_grants
from paymesh.mesh import load_mesh
from paymesh.policy import coverage
from paymesh.policy.explain import places
from paymesh.policy.explain.model import Explanation
from paymesh.policy.log import codes

from . import table
from .explained import PLACE, ROOT, Explainer, changed, said

TABLE = table.load()
GRANTS = {grant.id: grant for grant in load_grants().grants}


def _cases() -> list[table.Case]:
    """One for each caller, RPC and answer: other users and messages with the same answer differ
    in nothing that an explanation says.
    """
    rpcs = coverage.rpcs(ROOT / "policies" / "descriptors.binpb")
    rows = {(row["caller"], row["rpc"]) for row in TABLE.rows}
    found: dict[tuple[str, ...], table.Case] = {}
    for case in TABLE.cases(load_mesh().workloads, rpcs):
        is_row = (case.caller, case.rpc) in rows
        key = (case.caller, case.rpc, case.expected) if is_row else (case.caller, case.expected)
        found.setdefault(key, case)
    return list(found.values())


@pytest.mark.parametrize("case", _cases(), ids=str)
def test_an_explanation_says_what_was_decided_and_why(
    explainer: Explainer, case: table.Case
) -> None:
    """It names the reason's sentence, agrees with the record, and every line that it names is
    there; of a refusal it says which condition did not hold, and what would have.
    """
    user = TABLE.users[case.user]
    token = user and explainer.token(
        "invalid" if user.get("forged") else "valid",
        **{claim: user[claim] for claim in ("sub", "tenant", "roles")},
        **({"exp": 1_795_256_100} if user.get("expired") else {}),
    )
    body = copy.deepcopy(TABLE.bodies[case.body])
    found = explainer.explain(explainer.call(case.caller, case.rpc, body, token))
    assert (found.reason, found.allowed) == (case.expected, case.expected == "ALLOWED")
    assert found.check.same is True
    text = said(found)
    assert found.sentence
    assert found.sentence in text
    assert f'"{case.expected}"' in explainer.line(found.reason_place)
    for place in PLACE.findall(text):
        assert explainer.line(place).strip()
    if case.expected == "ALLOWED":
        _check_allowed(found, case)
    else:
        _check_refused(found, case)


def _check_allowed(found: Explanation, case: table.Case) -> None:
    assert found.grant is not None
    grant = GRANTS[found.grant.id]
    assert (grant.caller, grant.rpc, grant.why) == (case.caller, case.rpc, found.grant.why)
    assert [condition.name for condition in found.grant.conditions] == list(grant.conditions)
    assert all(condition.holds for condition in found.grant.conditions)
    assert found.remedies == found.nearest == ()


def _check_refused(found: Explanation, case: table.Case) -> None:
    assert found.grant is None
    assert found.decided_by
    assert (found.closed is not None) == (case.expected == "RPC_CLOSED")
    assert [other.id for other in found.others] == [
        grant.id
        for grant in GRANTS.values()
        if grant.rpc == case.rpc and grant.caller != case.caller
    ]
    if case.expected in {"RPC_NOT_GRANTED", "RPC_CLOSED"}:
        assert found.nearest == ()
        return
    (nearest,) = found.nearest
    failing = [condition for condition in nearest.conditions if not condition.holds]
    assert all(condition.needs for condition in failing)
    if failing:
        assert failing[0].reason == case.expected
        assert failing[0].place in found.decided_by
    assert found.remedies
    assert {remedy.by for remedy in found.remedies} == {nearest.id}


def test_every_reason_of_the_policy_is_among_the_cases() -> None:
    """All codes but those of callers and forms of calls, which have tests of their own."""
    explained = {case.expected for case in _cases()}
    elsewhere = {
        "NO_CALLER_IDENTITY",
        "FOREIGN_TRUST_DOMAIN",
        "UNKNOWN_CALLER",
        "NOT_A_GRPC_CALL",
        "POLICY_ERROR",
    }
    own = {*codes.ENGINE_CODES, *codes.OBJECT_CODES}
    assert explained | elsewhere | own == set(codes.known(ROOT))


def test_every_condition_says_of_itself_what_it_is(explainer: Explainer) -> None:
    """Each has a description in its annotations, which is what an explanation says of it."""
    rules = places.Rules(explainer.files, places.AUTHZ)
    for name in coverage.conditions(ROOT / "policies"):
        rule = rules.find(f"condition.{name}")
        assert rule is not None
        assert rule.description, name
        assert f'condition["{name}"]' in explainer.line(rule.place)


def test_a_changed_answer_is_never_explained_as_the_recorded_one(explainer: Explainer) -> None:
    """When the policy answers otherwise than the record says, nothing but that is said."""
    found = explainer.call("gateway", TABLE.rows[0]["rpc"], {}, explainer.token())
    assert found.record["reason"] == "BODY_UNREADABLE"
    other = explainer.explain(changed(found, reason="AMOUNT_OVER_LIMIT"))
    assert other.check.same is False
    assert other.check.answer["reason"] == "BODY_UNREADABLE"
    assert (other.nearest, other.remedies, other.decided_by) == ((), (), ())
    assert "answers otherwise: BODY_UNREADABLE" in said(other)
