"""What is said about a decision: facts first, so that JSON and text cannot differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Person:
    """The end user, by a token that was good."""

    sub: str
    tenant: str
    roles: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Token:
    """What became of the token: `state` is none, good, or the reason code that it earned.

    Attributes:
        claims: of the token, believed or not.
        sentences: what was found of it.
    """

    state: str
    claims: Mapping[str, Any]
    sentences: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Condition:
    """One condition of a grant.

    Attributes:
        reason: ALLOWED, or the code that it refuses with.
        place: of its rule.
        description: the rule's own words.
        facts: the values that it went by.
        needs: what alone would have satisfied it; empty when nothing that was tried does.
    """

    name: str
    holds: bool
    reason: str
    place: str
    description: str
    facts: str
    needs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Grant:
    """A grant with its conditions as this call met them; none where they were not asked."""

    id: str
    caller: str
    rpc: str
    why: str
    place: str
    conditions: tuple[Condition, ...] = ()


@dataclasses.dataclass(frozen=True)
class Closed:
    """Why nobody may make a call."""

    why: str
    place: str


@dataclasses.dataclass(frozen=True)
class Remedy:
    """What would have made it pass, found by asking the policy.

    Attributes:
        changes: all of them are needed.
        by: the grant or the rule that would have allowed it.
    """

    changes: tuple[str, ...]
    by: str


@dataclasses.dataclass(frozen=True)
class Check:
    """The record compared with what its policy says now.

    Attributes:
        same: None when the policy could not be asked.
        answer: allowed, reason and grant of today's answer.
        sentence: how they compare, and why they may differ.
    """

    same: bool | None
    answer: Mapping[str, Any]
    sentence: str


@dataclasses.dataclass(frozen=True)
class Policy:
    """Which policy was asked: where it comes from, and whether it is the one that decided."""

    revision: str | None
    source: str
    exact: bool


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Everything about one decision.

    Attributes:
        kind: `call`, or `object` for a question about one.
        workload: whose decision point decided.
        spiffe_id: that the caller presented.
        sentence: what the reason code means.
        reason_place: where that stands.
        object: of a question about one, else None.
        grant: that allowed.
        nearest: grants for this caller and RPC, the nearest first.
        others: grants for this RPC and other callers.
        decided_by: places of the rules that refused, or allowed.
        rule: text of the rule that allowed or refused where that says most.
        notes: what else has to be known, a sentence each.
    """

    decision_id: str
    time: str
    kind: str
    workload: str
    caller: str
    spiffe_id: str
    rpc: str
    allowed: bool
    reason: str
    sentence: str
    reason_place: str
    policy: Policy
    check: Check
    user: Person | None = None
    token: Token | None = None
    object: Mapping[str, Any] | None = None
    grant: Grant | None = None
    nearest: tuple[Grant, ...] = ()
    others: tuple[Grant, ...] = ()
    closed: Closed | None = None
    decided_by: tuple[str, ...] = ()
    rule: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    notes: tuple[str, ...] = ()
    trace: str = ""
