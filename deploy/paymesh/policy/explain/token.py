"""What was good or bad about an end user's token, found by asking the policy."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from paymesh.policy.explain import words
from paymesh.policy.explain.asking import Policy
from paymesh.policy.explain.model import Token
from paymesh.policy.explain.question import Question, good_claims, with_claims
from paymesh.policy.log import moments
from paymesh.terminal import printable

REASON = "data.paymesh.authz.token_reason"
_SHAPES = {
    "sub": "letters, digits and . _ @ - are taken, 128 at most",
    "tenant": "small letters, digits and - are taken, 63 at most",
    "roles": "a list of at most 16 names is taken",
    "iat": "a number is taken",
}


def describe(
    policy: Policy, question: Question, state: str, environment: Mapping[str, Any]
) -> Token:
    """The token of a question.

    Args:
        policy: that decided.
        question: with the token's facts.
        state: the policy's word about the token.
        environment: of the policy.
    """
    facts = question["token"]
    if facts is None:
        return Token("none", {}, ("No end user's token came along.",))
    claims = facts.get("claims")
    claims = claims if isinstance(claims, dict) else {}
    return Token(state, claims, tuple(_sentences(policy, question, state, environment)))


def _sentences(
    policy: Policy, question: Question, state: str, environment: Mapping[str, Any]
) -> list[str]:
    facts = question["token"]
    if facts.get("scheme") != "bearer":
        return ["An authorization header came along that is no bearer token."]
    if facts.get("signature") == "malformed":
        return ["A bearer token came along that is no JWT: it cannot be decoded."]
    claims = facts.get("claims") or {}
    end = _end(claims.get("exp"), moments.of(question["time"]) or 0)
    if state == "ALLOWED":
        key = printable(facts.get("key"))
        return [f"The token was good: the issuer's key {key} signed it, and {end}."]
    said = []
    if facts.get("signature") == "valid":
        said.append(f"The issuer's key {printable(facts.get('key'))} signed the token.")
    wanted = good_claims(question, environment)
    said.extend(
        _wrong(name, claims.get(name, words.ABSENT), wanted.get(name), end, facts)
        for name in _wrong_parts(policy, question, wanted, environment)
    )
    return said or [f"The token is refused as {state}."]


def _wrong_parts(
    policy: Policy, question: Question, wanted: Mapping[str, Any], environment: Mapping[str, Any]
) -> list[str]:
    """What is wrong with the token: each part that makes a good one bad."""
    facts = question["token"]
    parts = ["signature", *wanted]
    asked = []
    for part in parts:
        spoilt = copy.deepcopy(question)
        claims = dict(wanted)
        if part in wanted:
            claims.pop(part)
            if part in facts.get("claims", {}):
                claims[part] = facts["claims"][part]
        with_claims(spoilt, claims, environment)
        if part == "signature":
            spoilt["token"]["signature"] = facts.get("signature")
            spoilt["token"]["header"] = facts.get("header", {})
        asked.append(spoilt)
    answers = policy.ask(asked, [REASON])
    return [
        part
        for part, answer in zip(parts, answers, strict=True)
        if answer.values.get(REASON) != "ALLOWED"
    ]


def _wrong(name: str, value: object, wanted: object, end: str, facts: Mapping[str, Any]) -> str:
    if name == "signature":
        header = facts.get("header") or {}
        return (
            "None of the issuer's keys signed the token"
            f" (it names key {words.json_like(header.get('kid', words.ABSENT))},"
            f" algorithm {words.json_like(header.get('alg', words.ABSENT))});"
            " what it claims is anybody's word."
        )
    if name in facts.get("withheld", ()):
        return f"Its `{name}` was not taken; the log does not hold what it is."
    if name == "exp" and isinstance(value, (int, float)):
        return f"The token {end.removeprefix('it ')}."
    if name in {"iss", "aud"}:
        return f"Its `{name}` is {words.json_like(value)}; {printable(wanted)} is taken."
    return f"Its `{name}` is {words.json_like(value)}; {_SHAPES.get(name, 'that is not taken')}."


def _end(exp: object, now_ns: int) -> str:
    if isinstance(exp, bool) or not isinstance(exp, (int, float)):
        return "it names no end"
    end_ns = int(exp) * moments.SECOND_NS
    length = words.span(end_ns - now_ns)
    at = moments.text(end_ns)[:-5] + "Z" if 0 <= end_ns < 1 << 62 else f"{exp}"
    if end_ns <= now_ns:
        return f"it had ended at {at}, {length} before the decision"
    return f"it was good until {at}, {length} after the decision"
