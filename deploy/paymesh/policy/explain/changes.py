"""What could have been different about a question.

A change is something that a caller, a user or a message could have been instead. None of them
knows what the policy wants: each is tried, and what helps is what the policy says helps.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from paymesh.policy.explain import words
from paymesh.policy.explain.question import (
    Question,
    good_claims,
    object_at,
    presented_id,
    value_at,
    with_claims,
    without_token,
    workloads,
)

CALLER_WEIGHT = 4
# A quoted word that is neither a key nor an index.
_ROLE = re.compile(r'(?<!\[)"([a-z][a-z0-9_-]{0,31})"(?!\s*[:\]])')
_NAME = re.compile(r'"([A-Z][A-Z0-9_]{0,63})"')


@dataclasses.dataclass(frozen=True)
class Change:
    """One thing that could have been different.

    Attributes:
        about: two changes about the same thing exclude each other.
        phrase: how to say it, with `{}` for the value.
        value: as people say it.
        apply: makes it in a question of one's own.
        weight: how far it is from what was asked; the nearest are said first.
        graded: of several values that help, the first says it all.
    """

    about: str
    phrase: str
    value: str
    apply: Callable[[Question], None]
    weight: int = 1
    graded: bool = False

    def __str__(self) -> str:
        return self.phrase.format(self.value)


def changed(question: Question, changes: Sequence[Change]) -> Question:
    """A question of its own with these changes, in their order."""
    found = copy.deepcopy(question)
    for change in changes:
        change.apply(found)
    return found


@dataclasses.dataclass(frozen=True)
class Known:
    """What changes are made of.

    Attributes:
        environment: of the policy: the mesh's ids and its users' issuer.
        limits: of the grants.
        rules: the policy's text, whose quoted words are what roles and kinds there may be.
        codes: the reason codes, which are no kinds.
        callers: workloads that may call instead.
    """

    environment: Mapping[str, Any]
    limits: Mapping[str, Any]
    rules: str
    codes: Collection[str]
    callers: Collection[str]


def of_call(question: Question, known: Known) -> list[Change]:
    """Everything that is tried of a call."""
    return [
        *_token_changes(question, known.environment),
        *_role_changes(question, known),
        *_body_changes(question, known),
        Change("form", "an uncompressed gRPC call{}", "", _make_grpc, weight=2),
        *of_caller(question, known.environment, known.callers),
    ]


def _token_changes(question: Question, environment: Mapping[str, Any]) -> Iterator[Change]:
    if "users" in environment:
        claims = good_claims(question, environment)
        phrase = "an end user's token{}" if question["token"] is None else "a good token{}"
        yield Change("token", phrase, "", lambda q: with_claims(q, claims, environment))
    if question["token"] is not None:
        yield Change("token", "no end user's token{}", "", without_token, weight=2)


def _role_changes(question: Question, known: Known) -> Iterator[Change]:
    def give(role: str) -> Callable[[Question], None]:
        def apply(asked: Question) -> None:
            token = asked["token"]
            if isinstance(token, dict) and isinstance(token.get("claims"), dict):
                roles = token["claims"].get("roles")
                token["claims"]["roles"] = [*(roles if isinstance(roles, list) else []), role]

        return apply

    had = good_claims(question, known.environment)["roles"]
    names = known.environment.get("workloads", ())
    for role in quoted_words(known.rules, {*had, *names}):
        yield Change("role", "the role {}", role, give(role))


def _body_changes(question: Question, known: Known) -> Iterator[Change]:
    yield Change("body", "a message that can be read whole{}", "", _make_readable)
    body = value_at(question["input"], "parsed_body")
    for fields, phrase, value in _amounts(body if isinstance(body, dict) else {}, known.limits):
        yield Change("amount", phrase, value, _put(**fields), graded=True)
    tenant = good_claims(question, known.environment)["tenant"]
    yield Change(
        "legal entity", "the legal entity {}, the user's own", tenant, _put(legalEntity=tenant)
    )
    for kind in quoted_names(known.rules, known.codes):
        yield Change("kind", "the kind {}", kind, _put(kind=kind))


def _make_readable(asked: Question) -> None:
    asked["input"]["truncated_body"] = False
    if not isinstance(asked["input"].get("parsed_body"), dict):
        asked["input"]["parsed_body"] = {}


def _put(**fields: Any) -> Callable[[Question], None]:
    """Other fields of a message that can be read."""

    def apply(asked: Question) -> None:
        body = asked["input"].get("parsed_body")
        if isinstance(body, dict):
            asked["input"]["parsed_body"] = {**body, **copy.deepcopy(fields)}

    return apply


def _amounts(
    body: Mapping[str, Any], limits: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Amounts at each of the limits, the highest first: in the message's currency if it has one."""
    legs = body.get("legs")
    of_legs = [value_at(leg, "amount") for leg in legs] if isinstance(legs, list) else []
    named = [value_at(amount, "currencyCode") for amount in (body.get("amount"), *of_legs)]
    asked = [currency for currency in named if isinstance(currency, str)]
    tables = [table for table in limits.values() if isinstance(table, Mapping) and table]
    for table in sorted(tables, key=lambda table: -max(table.values())):
        currency = asked[0] if asked and asked[0] in table else min(table)
        most = {"currencyCode": currency, "minorUnits": str(table[currency])}
        if not asked:
            phrase, value = "within the limits{}", ""
        elif currency == asked[0]:
            phrase, value = "of at most {}", words.money(currency, table[currency])
        else:
            phrase, value = "in {}", words.either(sorted(table))
        if not isinstance(legs, list):
            yield {"amount": most}, f"a positive amount {phrase}", value
        if "amount" not in body:
            known = [leg for leg in legs if isinstance(leg, dict)] if isinstance(legs, list) else []
            changed_legs = [{**leg, "amount": most} for leg in known] or [{"amount": most}]
            yield {"legs": changed_legs}, f"legs with amounts {phrase}", value


def quoted_words(rules: str, but: Collection[str]) -> list[str]:
    """What the policy may mean as a role."""
    return sorted(set(_ROLE.findall(rules)) - set(but))


def quoted_names(rules: str, but: Collection[str]) -> list[str]:
    """What the policy may mean as a value of an enum."""
    return sorted(set(_NAME.findall(rules)) - set(but))


def _make_grpc(question: Question) -> None:
    http = object_at(question, "attributes", "request", "http")
    http["method"] = "POST"
    headers = object_at(question, "attributes", "request", "http", "headers")
    headers["content-type"] = "application/grpc"
    headers.pop("grpc-encoding", None)


def of_caller(
    question: Question, environment: Mapping[str, Any], callers: Collection[str]
) -> Iterator[Change]:
    """Another workload in the caller's place, for a call and for a question about an object."""

    def call_as(spiffe_id: str) -> Callable[[Question], None]:
        def apply(asked: Question) -> None:
            if "caller" in asked["input"]:
                asked["input"]["caller"] = spiffe_id
            else:
                object_at(asked, "attributes", "source")["principal"] = spiffe_id

        return apply

    presented = presented_id(question)
    for name, spiffe_id in workloads(environment).items():
        if name in callers and spiffe_id != presented:
            yield Change("caller", "the caller {}", name, call_as(spiffe_id), weight=CALLER_WEIGHT)
