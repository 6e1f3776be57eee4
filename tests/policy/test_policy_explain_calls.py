"""Calls that the table does not have: callers, forms, tokens, amounts, faults in the policy."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from paymesh.policy.contents import Files
from paymesh.policy.explain import question

from .explained import LEDGER, NOW_S, PAYMENTS, Explainer, changed, said

_CREATE = PAYMENTS + "CreatePayment"
_REFUND = PAYMENTS + "RefundPayment"


def _money(minor_units: int, currency: str = "EUR") -> dict[str, Any]:
    return {"amount": {"currencyCode": currency, "minorUnits": str(minor_units)}}


@pytest.mark.parametrize(
    ("caller", "reason", "sentence"),
    [
        ("", "NO_CALLER_IDENTITY", "The certificate said no SPIFFE ID;"),
        ("spiffe://other.example/ns/x/sa/gateway", "FOREIGN_TRUST_DOMAIN", "other.example/ns/x"),
        ("spiffe://paymesh.internal/ns/paymesh/sa/gatewaz", "UNKNOWN_CALLER", "sa/gatewaz;"),
    ],
)
def test_a_stranger_is_named_beside_those_who_are_known(
    explainer: Explainer, caller: str, reason: str, sentence: str
) -> None:
    """What was presented, what would have been taken, and the very line that refused."""
    found = explainer.explain(explainer.call(caller, _CREATE, {}))
    assert found.reason == reason
    assert sentence in said(found)
    assert "bank-link, gateway, ledger, payments or statements" in said(found)
    (place,) = found.decided_by
    assert f'"{reason}"' in explainer.line(place) or reason == "UNKNOWN_CALLER"
    assert "identity.rego" in place


@pytest.mark.parametrize(
    ("headers", "said_of_it"),
    [
        ({"content-type": "application/json"}, "content type application/json"),
        ({"grpc-encoding": "gzip"}, "gRPC encoding gzip"),
    ],
)
def test_a_call_of_another_form_is_described(
    explainer: Explainer, headers: dict[str, str], said_of_it: str
) -> None:
    """The grant would have let it in; what was odd is said, and what would have been right."""
    found = explainer.explain(
        explainer.call("gateway", PAYMENTS + "GetPayment", {}, explainer.token(), **headers)
    )
    assert found.reason == "NOT_A_GRPC_CALL"
    assert said_of_it in said(found)
    assert [remedy.changes for remedy in found.remedies] == [("an uncompressed gRPC call",)]
    assert "is_grpc_call" in explainer.line(found.decided_by[0])


def test_a_path_that_is_no_method_is_refused_where_that_is_written(explainer: Explainer) -> None:
    """No grant is near it, and no change would help."""
    found = explainer.explain(explainer.call("gateway", "/x\x1b[2J/../y", {}))
    assert found.reason == "NOT_A_GRPC_CALL"
    assert "ungranted_reason" in explainer.line(found.decided_by[0])
    assert "\x1b" not in said(found)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (_money(1250), "12.50 EUR of at most 10,000.00 EUR"),
        (_money(1250, "JPY"), "1,250 JPY of at most 1,500,000 JPY"),
        (_money(1250, "KWD"), "1.250 KWD of at most 3,000.000 KWD"),
        (_money(1_000_001), "10,000.01 EUR of at most 10,000.00 EUR"),
        (_money(-5), "-0.05 EUR of at most 10,000.00 EUR"),
        (_money(7, "XAU"), "7 minor units of XAU, which has no limit"),
        ({}, "No amount"),
        ({"amount": {"currencyCode": "EUR"}}, "An amount of nothing in EUR"),
        ({"amount": "lots"}, "An amount lots"),
    ],
)
def test_an_amount_is_said_as_money_beside_its_limit(
    explainer: Explainer, amount: dict[str, Any], text: str
) -> None:
    """By each currency's own minor unit."""
    assert text in explainer.text(explainer.call("gateway", _CREATE, amount, explainer.token()))


@pytest.mark.parametrize(
    ("token", "sentences"),
    [
        ({"scheme": "other"}, ["is no bearer token"]),
        ({"signature": "malformed"}, ["cannot be decoded"]),
        ({"signature": "invalid"}, ["None of the issuer's keys signed the token"]),
        ({"aud": "elsewhere"}, ["Its `aud` is elsewhere; paymesh is taken."]),
        ({"iss": "https://evil.example"}, ["Its `iss` is https://evil.example;"]),
        ({"sub": "a b"}, ["Its `sub` is a b;"]),
        ({"tenant": "ACME"}, ["Its `tenant` is ACME;"]),
        ({"roles": "customer"}, ["Its `roles` is customer;"]),
        ({"iat": "now"}, ["Its `iat` is now;"]),
        ({"exp": NOW_S - 20}, ["The token had ended at 2026-11-21T10:15:10Z, 20 s before"]),
        ({"exp": None}, ["Its `exp` is"]),
        ({"aud": "x", "sub": "", "exp": 5}, ["Its `aud` is x", "Its `sub` is", "had ended at"]),
        ({"signature": "invalid", "aud": "x"}, ["None of the issuer's keys", "Its `aud` is x"]),
    ],
    ids=str,
)
def test_everything_that_is_wrong_with_a_token_is_said_and_nothing_else(
    explainer: Explainer, token: dict[str, Any], sentences: list[str]
) -> None:
    """Found by asking the policy about a good token with each part of this one."""
    given = dict(token)
    facts = (
        {"scheme": "other"}
        if given.pop("scheme", None)
        else explainer.token(given.pop("signature", "valid"), **given)
    )
    found = explainer.explain(explainer.call("gateway", PAYMENTS + "GetPayment", {}, facts))
    assert found.reason in {"USER_TOKEN_INVALID", "USER_TOKEN_EXPIRED"}
    assert found.token is not None
    wrong = [s for s in found.token.sentences if not s.startswith("The issuer's key")]
    assert len(wrong) == len(sentences)
    for sentence, expected in zip(wrong, sentences, strict=True):
        assert expected in sentence
    assert any("token.rego" in place for place in found.decided_by)


def test_a_good_token_says_until_when_it_was_good(explainer: Explainer) -> None:
    """Beside who the user is."""
    text = explainer.text(explainer.call("gateway", PAYMENTS + "GetPayment", {}, explainer.token()))
    assert "It was for alice of tenant acme, with the role customer." in text
    assert "good until 2026-11-21T10:25:30Z, 10 min after the decision" in text


def test_a_missing_role_is_said_beside_those_that_the_user_has(explainer: Explainer) -> None:
    """As in: has customer, needs auditor or operator."""
    found = explainer.explain(
        explainer.call("gateway", LEDGER + "GetBalance", {}, explainer.token())
    )
    (condition,) = found.nearest[0].conditions
    assert condition.facts == "the user has customer"
    assert condition.needs == ("the role auditor or operator",)
    assert [remedy.changes for remedy in found.remedies] == [condition.needs]


def _edited(explainer: Explainer, **edits: tuple[str, str]) -> Explainer:
    """The policy with replacements in `authz/<name>.rego`."""
    files: Files = dict(explainer.files)
    for name, (old, new) in edits.items():
        path = f"paymesh/authz/{name}.rego"
        text = files[path].decode()
        assert old in text
        files[path] = text.replace(old, new, 1).encode()
    return Explainer(explainer.pdp, explainer.mesh, explainer.environment, files)


def test_a_new_condition_explains_itself(explainer: Explainer) -> None:
    """Its own words, the values that it names, its line, and a reason that nobody has met yet."""
    rule = (
        "# METADATA\n# description: The refund has a note. It is for the books.\n"
        "# custom:\n#   facts: [input.parsed_body.note]\n"
        'condition["has_note"] := "NOTE_MISSING" if {\n'
        '\tnot input.parsed_body.note\n} else := "ALLOWED"\n\n'
    )
    new = _edited(
        explainer,
        conditions=("_role_reason(wanted) :=", rule + "_role_reason(wanted) :="),
        reasons=(
            '\t"ALLOWED": {"http_status": 200',
            (
                '\t"NOTE_MISSING": {"http_status": 403, "sentence": "A note is missing."},\n'
                '\t"ALLOWED": {"http_status": 200'
            ),
        ),
    )
    for name in ("paymesh/index/data.json", "paymesh/grants/data.json"):
        new.files[name] = new.files[name].replace(b'"user_is_operator"', b'"has_note"')
    found = new.explain(new.call("gateway", _REFUND, {"note": ""}))
    assert (found.reason, found.sentence) == ("ALLOWED", "A grant allows this call.")
    found = new.explain(new.call("gateway", _REFUND, {}))
    assert (found.reason, found.sentence) == ("NOTE_MISSING", "A note is missing.")
    condition = found.nearest[0].conditions[0]
    assert condition.facts == "`note` is absent"
    assert 'condition["has_note"]' in new.line(condition.place)
    assert "has_note: The refund has a note.  (" in said(found)


def test_lines_are_those_of_the_policy_that_decided(explainer: Explainer) -> None:
    """Not those of the checkout as it is now."""
    moved = _edited(explainer, conditions=("package paymesh.authz", "\n\n\npackage paymesh.authz"))
    moved.reviewers_file = b"# one more line\n" + explainer.reviewers_file
    places = []
    for each in (explainer, moved):
        (nearest,) = each.explain(each.call("gateway", _REFUND, {}, each.token())).nearest
        assert "id: operator-refund-payment" in each.line(nearest.place)
        assert 'condition["user_is_operator"]' in each.line(nearest.conditions[0].place)
        places.append((nearest.place, nearest.conditions[0].place))
    (grant, condition), (moved_grant, moved_condition) = places
    assert grant != moved_grant
    assert condition != moved_condition


def test_a_condition_without_a_rule_is_named(explainer: Explainer) -> None:
    """A grant that asks for what nobody has written refuses with POLICY_ERROR, and that is said."""
    broken = Explainer(explainer.pdp, explainer.mesh, explainer.environment, dict(explainer.files))
    for name in ("paymesh/index/data.json", "paymesh/grants/data.json"):
        broken.files[name] = broken.files[name].replace(b'"user_is_operator"', b'"no_such_rule"')
    found = broken.explain(broken.call("gateway", _REFUND, {}))
    assert found.reason == "POLICY_ERROR"
    assert found.sentence == "The policy could not decide."
    assert "There is no rule of this name." in said(found)
    assert "_condition_reason" in broken.line(found.decided_by[0])


def test_a_mesh_that_the_policy_does_not_know_is_said(explainer: Explainer) -> None:
    """Without data.paymesh.environment everybody is refused."""
    files = {**explainer.files, "paymesh/environment/data.json": b"{}"}
    blind = Explainer(explainer.pdp, explainer.mesh, explainer.environment, files)
    found = blind.explain(blind.call("gateway", _REFUND, {}))
    assert found.reason == "POLICY_ERROR"
    assert "the policy knows no callers" in said(found)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"reason": "REQUEST_UNREADABLE", "result": None, "error": "the path has no method"},
            "the path has no method",
        ),
        ({"reason": "REQUEST_UNREADABLE", "result": None}, "could not read the request"),
        ({"reason": "DECISION_NOT_RECORDED", "result": None}, "what is not on record is refused"),
        (
            {"reason": "POLICY_ERROR", "result": None, "error": "context deadline exceeded"},
            "The policy engine failed: context deadline exceeded. Envoy let nothing through",
        ),
        (
            {"input": None, "input_omitted": "longer than 65536 bytes"},
            "The record holds no input (longer than 65536 bytes)",
        ),
        ({"policy_path": "system/version"}, "Another document of the policy was asked"),
    ],
    ids=str,
)
def test_what_no_policy_decided_is_said_in_its_own_words(
    explainer: Explainer, fields: dict[str, Any], sentence: str
) -> None:
    """Nothing is asked again, and nothing is said of grants."""
    found = explainer.explain(changed(explainer.call("gateway", _REFUND, {}), **fields))
    assert found.check.same is None
    assert sentence in said(found)
    assert found.nearest == ()


def test_a_token_that_the_policy_cannot_judge_is_said(explainer: Explainer) -> None:
    """By a key that is no longer the issuer's: the policy of another time is no help."""
    found = explainer.call("gateway", _REFUND, {}, explainer.token())
    token = {**explainer.token(), "key": "another"}
    other = explainer.explain(changed(found, token=token))
    assert other.check.same is None
    assert '"another"' in other.check.sentence


def test_what_the_log_left_out_may_be_why_the_answers_differ(explainer: Explainer) -> None:
    """An amount of an odd form is not recorded: what rested on it cannot be told."""
    allowed = explainer.call("gateway", _CREATE, _money(1250), explainer.token())
    asked = copy.deepcopy(allowed.record["input"])
    asked["parsed_body"]["amount"] = None
    asked["parsed_body"]["description"] = None
    found = explainer.explain(changed(allowed, input=asked))
    assert found.check.same is False
    assert "does not hold /parsed_body/amount:" in found.check.sentence  # nobody reads the other
    assert "report" not in found.check.sentence


def test_another_answer_of_the_same_policy_is_to_be_reported(explainer: Explainer) -> None:
    """Nothing is missing from the record, and yet the answers differ."""
    allowed = explainer.call("gateway", _CREATE, _money(1250), explainer.token())
    found = explainer.explain(changed(allowed, grant="another"))
    assert "That must not be: please report it" in found.check.sentence


def test_the_trace_is_the_policys_own_lines(explainer: Explainer) -> None:
    """Every line of it names one of the policy and shows its text."""
    found = explainer.explain(explainer.call("gateway", _REFUND, {}, explainer.token()), trace=True)
    lines = found.trace.splitlines()
    assert any("✗ role in wanted" in line for line in lines)
    for line in lines:
        place, sign, text = line.split(maxsplit=2)
        assert sign in {"→", "✗", "="}
        assert sign == "=" or explainer.line(place).strip() == text


def test_a_question_is_not_changed_by_what_is_tried(explainer: Explainer) -> None:
    """The record that is explained stays as it was."""
    found = explainer.call("gateway", _REFUND, {"legs": [{}]}, explainer.token("invalid"))
    before = repr(question.of(found.record))
    explainer.explain(found)
    assert repr(question.of(found.record)) == before


@pytest.mark.parametrize("caller", ["payments", "gateway"])
def test_a_path_that_was_not_recorded_is_explained_without_it(
    explainer: Explainer, caller: str
) -> None:
    """It named no method, which is all that is known of it: no grant, and no way to one."""
    asked = explainer.call(caller, "/cards/4111111111111111", {}, explainer.token())
    erased = copy.deepcopy(asked.record["input"])
    erased["attributes"]["request"]["http"]["path"] = None
    found = explainer.explain(changed(asked, rpc="", input=erased))
    assert found.reason == asked.record["reason"]
    assert "called nothing that has a name of payments" in said(found)
    assert "4111" not in said(found)
