"""A record as a question to its policy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from paymesh.policy.log import moments
from paymesh.policy.log.records import Record

Question = dict[str, Any]
_LIFE_SECONDS = 600
_GOOD_SUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}", re.ASCII)
_GOOD_TENANT = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
_GOOD_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)


def of(record: Record) -> Question:
    """The question that was asked, as the log knows it."""
    return {
        "id": record["decision_id"],
        "input": record.get("input"),
        "token": record.get("token"),
        "time": record["time"],
    }


def good_claims(question: Question, environment: Mapping[str, Any]) -> dict[str, Any]:
    """The token's claims with everything put right that can be wrong with them but the roles'
    names; those of somebody where there is no token.
    """
    token = question["token"]
    claims = token.get("claims") if isinstance(token, dict) else None
    claims = claims if isinstance(claims, dict) else {}
    now_s = (moments.of(question["time"]) or 0) // moments.SECOND_NS
    users = environment.get("users", {})
    sub, tenant, roles = claims.get("sub"), claims.get("tenant"), claims.get("roles")
    return {
        "iss": users.get("issuer"),
        "aud": users.get("audience"),
        "sub": sub if _is(_GOOD_SUB, sub) else "somebody",
        "tenant": tenant if _is(_GOOD_TENANT, tenant) else "somewhere",
        "roles": [role for role in roles if _is(_GOOD_ROLE, role)][:16]
        if isinstance(roles, list)
        else [],
        "iat": now_s - _LIFE_SECONDS,
        "exp": now_s + _LIFE_SECONDS,
    }


def _is(shape: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and shape.fullmatch(value) is not None


def with_claims(
    question: Question, claims: Mapping[str, Any], environment: Mapping[str, Any]
) -> None:
    """Puts a token that the issuer signed into the question."""
    keys = json.loads(environment["users"]["jwks"])["keys"]
    key = keys[0].get("kid", "")
    question["token"] = {
        "scheme": "bearer",
        "signature": "valid",
        "key": key,
        "header": {"alg": "ES256", "kid": key, "typ": "JWT"},
        "claims": dict(claims),
    }


def without_token(question: Question) -> None:
    """Takes the token out."""
    question["token"] = None
    headers = object_at(question, "attributes", "request", "http", "headers")
    headers.pop("authorization", None)


def presented_id(question: Question) -> str:
    """The SPIFFE ID that the caller presented, or what it presented in its place."""
    asked = question["input"]
    if not isinstance(asked, dict):
        return ""
    found = asked.get("caller", value_at(asked, "attributes", "source", "principal"))
    return found if isinstance(found, str) else ""


def value_at(found: object, *path: str) -> object:
    """A value of a document; None when there is none."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def workloads(environment: Mapping[str, Any]) -> dict[str, str]:
    """SPIFFE ID of each workload that the policy knows."""
    domain, namespace = environment.get("trust_domain"), environment.get("namespace")
    return {
        name: f"spiffe://{domain}/ns/{namespace}/sa/{name}"
        for name in environment.get("workloads", ())
    }


def erased(found: object, pointer: str = "") -> list[str]:
    """JSON pointers to what the log left out of an input: a null stands in its place. A body
    that could not be read is a null of its own right, and a token's facts stand beside.
    """
    if isinstance(found, dict):
        members = [(f"{pointer}/{name}", value) for name, value in found.items()]
    elif isinstance(found, list):
        members = [(f"{pointer}/{index}", value) for index, value in enumerate(found)]
    else:
        known = {"/parsed_body", "/user", "/attributes/request/http/headers/authorization"}
        return [pointer] if found is None and pointer not in known else []
    return [each for place, value in members for each in erased(value, place)]


def object_at(question: Question, *path: str) -> dict[str, Any]:
    """An object of the input, made when it is not there."""
    found = question["input"]
    for name in path:
        if not isinstance(found.get(name), dict):
            found[name] = {}
        found = found[name]
    return found  # type: ignore[no-any-return]
