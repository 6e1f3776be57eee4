"""Questions about objects: which rule allowed, or what would have made one allow."""

from __future__ import annotations

from typing import Any

import pytest

from .explained import PLACE, Explainer, said

ALICE = {"sub": "alice", "tenant": "acme", "roles": ["customer"]}
OLIVIA = {"sub": "olivia", "tenant": "acme", "roles": ["operator"]}
OSCAR = {"sub": "oscar", "tenant": "globex", "roles": ["operator"]}
_HERS = {"tenant": "acme", "owner": "alice"}


@pytest.mark.parametrize(
    ("asked", "facts", "in_rule"),
    [
        (("gateway", "payments.read", ALICE), _HERS, "_same_owner"),
        (("gateway", "payments.list", OLIVIA), _HERS, '_user_has({"operator", "auditor"})'),
        (("gateway", "payments.refund", OLIVIA), _HERS, 'input.action == "payments.refund"'),
        (("gateway", "links.read", ALICE), _HERS, "_own_link"),
        (("payments", "links.use", ALICE), {**_HERS, "state": "SUCCESS"}, "SUCCESS"),
        (("statements", "accounts.read", None), {"tenant": "acme"}, "_no_user"),
        (("payments", "accounts.post", None), {"tenant": "acme"}, "_same_tenant_or_no_user"),
        (("gateway", "accounts.open", OLIVIA), {"tenant": "acme", "kind": "MERCHANT"}, "MERCHANT"),
        (("payments", "accounts.open", None), {"tenant": "acme", "kind": "CLEARING"}, "CLEARING"),
    ],
)
def test_the_rule_that_allowed_is_shown(
    explainer: Explainer,
    asked: tuple[str, str, dict[str, Any] | None],
    facts: dict[str, str],
    in_rule: str,
) -> None:
    """Found in the evaluation itself: its lines as they stand there."""
    found = explainer.explain(explainer.object(*asked, **facts))
    assert (found.allowed, found.check.same) == (True, True)
    (place,) = found.decided_by
    assert explainer.line(place) == found.rule[0] == "_allowed if {"
    assert in_rule in "\n".join(found.rule)
    assert found.sentence in said(found)


@pytest.mark.parametrize(
    ("asked", "facts", "remedies"),
    [
        (
            ("gateway", "payments.refund", OSCAR),
            _HERS,
            [("an object of the user's own tenant, globex",)],
        ),
        (
            ("gateway", "payments.read", {**ALICE, "sub": "bob"}),
            _HERS,
            [("the role auditor or operator",), ("an object that is bob's own",)],
        ),
        (
            ("payments", "links.use", ALICE),
            {"owner": "alice", "state": "PENDING"},
            [("an object of state SUCCESS",)],
        ),
        (
            ("gateway", "accounts.open", OLIVIA),
            {"tenant": "acme", "kind": "CLEARING"},
            [("an object of kind MERCHANT",)],
        ),
        (("statements", "accounts.read", OLIVIA), {"tenant": "acme"}, [("no end user",)]),
        (
            ("gateway", "payments.refund", None),
            _HERS,
            [("an end user", "the role operator")],
        ),
        (
            ("gateway", "accounts.post", OLIVIA),
            {"tenant": "acme"},
            [("the caller payments",)],
        ),
        (("ledger", "links.remove", OSCAR), {"tenant": "acme", "owner": "alice"}, []),
    ],
)
def test_what_would_have_made_it_pass_is_what_the_policy_says(
    explainer: Explainer,
    asked: tuple[str, str, dict[str, Any] | None],
    facts: dict[str, str],
    remedies: list[tuple[str, ...]],
) -> None:
    """The smallest sets of changes with which it allows, each with the rule that would have."""
    found = explainer.explain(explainer.object(*asked, **facts))
    assert (found.reason, found.check.same) == ("OBJECT_DENIED", True)
    assert [remedy.changes for remedy in found.remedies] == remedies
    for remedy in found.remedies:
        assert explainer.line(remedy.by) == "_allowed if {"
    assert '"OBJECT_DENIED"' in explainer.line(found.reason_place)
    assert '"OBJECT_DENIED"' in explainer.line(found.decided_by[0])
    for place in PLACE.findall(said(found)):
        assert explainer.line(place).strip()


def test_a_question_is_retold(explainer: Explainer) -> None:
    """Who asked whether whom may do what to what, and for whom."""
    text = explainer.text(explainer.object("gateway", "payments.refund", OSCAR, **_HERS))
    assert (
        "payments asked whether gateway (spiffe://paymesh.internal/ns/paymesh/sa/gateway) may do"
        " payments.refund to an object with tenant acme and owner alice." in text
    )
    assert "It was for oscar of tenant globex, with the role operator." in text


def test_an_action_that_does_not_exist_is_the_services_mistake(explainer: Explainer) -> None:
    """The actions that there are are named."""
    found = explainer.explain(explainer.object("gateway", "payments.destroy", OLIVIA))
    assert found.reason == "POLICY_ERROR"
    assert "an action that the policy does not know" in found.sentence
    assert "accounts.open, accounts.post" in said(found)
    assert "actions := {" in explainer.line(found.decided_by[0])
