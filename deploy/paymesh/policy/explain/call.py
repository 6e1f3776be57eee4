"""The explanation of a decision on a call."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paymesh.policy import engine
from paymesh.policy.explain import asking, changes, places, question, token, words
from paymesh.policy.explain.asking import Policy
from paymesh.policy.explain.ground import Ground
from paymesh.policy.explain.model import Closed, Condition, Explanation, Grant, Person, Remedy
from paymesh.policy.explain.question import Question
from paymesh.policy.explain.trials import Trials, phrases
from paymesh.terminal import printable

_AUTHZ = "data.paymesh.authz."
_CONDITIONS = f"{_AUTHZ}condition"
_NAMES = (
    "decision",
    "condition",
    "candidates",
    "caller",
    "caller_problem",
    "is_grpc_call",
    "ungranted_reason",
    "user",
    "token_reason",
    "reasons",
)


class Call:
    """One call, its policy, and what that says of it."""

    def __init__(self, policy: Policy, ground: Ground, asked: Question) -> None:
        self._policy = policy
        self._question = asked
        self._rules = places.Rules(ground.files, places.AUTHZ)
        self._reviewers = places.ReviewersFile(ground.reviewers_file)
        self._environment: Mapping[str, Any] = ground.data("environment")
        self._grants = ground.grants
        self._data: Mapping[str, Any] = ground.data("grants")
        queries = {*(_AUTHZ + name for name in _NAMES), *self._rules.facts()}
        (answer,) = policy.ask([asked], sorted(queries))
        self.partial = answer.partial
        self._values = answer.values
        self._candidates: Sequence[Mapping[str, Any]] = self._of("candidates") or ()

    @property
    def decision(self) -> Mapping[str, Any]:
        """The policy's answer."""
        found = self._of("decision")
        return found if isinstance(found, Mapping) else {}

    def sentence(self, code: str) -> tuple[str, str]:
        """What a reason code means, and where that stands; empty for a code that is not there."""
        entry = (self._of("reasons") or {}).get(code)
        rule = self._rules.find("reasons")
        if not isinstance(entry, Mapping) or rule is None:
            return "", ""
        return str(entry.get("sentence", "")), rule.place_of(code)

    def add_to(self, base: Explanation) -> Explanation:
        """The explanation with everything that the policy says of the call."""
        user = self._of("user")
        found = dataclasses.replace(
            base,
            user=Person(user["sub"], user["tenant"], tuple(user["roles"])) if user else None,
            token=token.describe(
                self._policy, self._question, str(self._of("token_reason")), self._environment
            ),
        )
        if asking.is_allowed(self.decision):
            granted = self.decision.get("grant")
            entry = next(entry for entry in self._candidates if entry["id"] == granted)
            return dataclasses.replace(found, grant=self._grant(entry, {}))
        trials = self._trials()
        needs = self._needs(trials)
        in_order = [self._grant(entry, needs) for entry in self._candidates]
        return dataclasses.replace(
            found,
            nearest=tuple(sorted(in_order, key=_lacking)),
            others=tuple(self._others()),
            closed=self._closed(),
            decided_by=tuple(self._refused_by(in_order)),
            remedies=tuple(self._remedies(trials)),
            notes=(*base.notes, *self._notes()),
        )

    def _of(self, name: str) -> Any:
        """The value of `data.paymesh.authz.<name>`; None when it is undefined."""
        return self._values.get(_AUTHZ + name)

    def _trials(self) -> Trials:
        known = changes.Known(
            self._environment,
            self._data.get("limits", {}),
            self._rules.text,
            codes=self._of("reasons") or (),
            callers={entry["caller"] for entry in self._granted()},
        )
        tried = changes.of_call(self._question, known)
        return Trials(self._policy, self._question, tried, engine.AUTHZ, also=[_CONDITIONS])

    def _needs(self, trials: Trials) -> dict[str, list[str]]:
        """By condition that does not hold: what would make it hold."""
        needs: dict[str, list[str]] = {}
        for name, reason in self._values[_CONDITIONS].items():
            if reason != "ALLOWED":
                helping = trials.flipping(functools.partial(_holds, name))
                needs[name] = [words.both(said) for said, _ in phrases(helping)]
        return needs

    def _granted(self) -> list[Mapping[str, Any]]:
        """The grants for this RPC, whoever calls."""
        path = question.value_at(self._question["input"], "attributes", "request", "http", "path")
        return [entry for entry in self._grants if entry["rpc"] == path]

    def _grant(self, entry: Mapping[str, Any], needs: Mapping[str, Sequence[str]]) -> Grant:
        whole = next((found for found in self._granted() if found["id"] == entry["id"]), entry)
        conditions = tuple(
            self._condition(name, needs.get(name, ())) for name in entry["conditions"]
        )
        return dataclasses.replace(self._plain_grant(whole), conditions=conditions)

    def _plain_grant(self, entry: Mapping[str, Any]) -> Grant:
        return Grant(
            id=entry["id"],
            caller=entry.get("caller", ""),
            rpc=entry.get("rpc", ""),
            why=entry.get("why", ""),
            place=self._reviewers.grant(entry["id"]),
        )

    def _condition(self, name: str, needs: Sequence[str]) -> Condition:
        rule = self._rules.find(f"condition.{name}")
        if rule is None:
            missing = self._rules.find("_condition_reason")
            return Condition(
                name=name,
                holds=False,
                reason="POLICY_ERROR",
                place=missing.place if missing else "",
                description="There is no rule of this name.",
                facts="",
            )
        reason = self._values[_CONDITIONS].get(name, "POLICY_ERROR")
        return Condition(
            name=name,
            holds=reason == "ALLOWED",
            reason=reason,
            place=rule.place,
            description=rule.description,
            facts=words.facts({fact: self._values.get(fact, words.ABSENT) for fact in rule.facts}),
            needs=tuple(needs),
        )

    def _others(self) -> list[Grant]:
        return [
            self._plain_grant(entry)
            for entry in self._granted()
            if entry["caller"] != self._of("caller")
        ]

    def _closed(self) -> Closed | None:
        path = question.value_at(self._question["input"], "attributes", "request", "http", "path")
        for line in self._data.get("closed", ()):
            if line["rpc"] == path:
                return Closed(line.get("why", ""), self._reviewers.closed(line["rpc"]))
        return None

    def _refused_by(self, grants: Sequence[Grant]) -> list[str]:
        """Places of the rules that refused, the outermost question first.

        Args:
            grants: for this caller and RPC, in the file's order.
        """
        reason = str(self.decision.get("reason"))
        if self._of("caller") is None:
            return self._place_of("caller_problem", reason)
        if not self._of("is_grpc_call"):
            return self._place_of("is_grpc_call", reason)
        if not grants:
            return self._place_of("ungranted_reason", reason)
        failing = next((c for c in grants[0].conditions if not c.holds), None)
        found = [failing.place] if failing else []
        if failing is None or self._of("token_reason") == reason:
            # A condition on the user hands on what is wrong with the token.
            found += self._place_of("token_reason", reason)
        return found

    def _notes(self) -> Iterator[str]:
        """What was odd about the caller or the form of the call."""
        if self._of("caller") is None:
            known = sorted(question.workloads(self._environment).items())
            form = known[0][1].removesuffix(known[0][0]) if known else ""
            presented = printable(question.presented_id(self._question)) or "no SPIFFE ID"
            names = words.either([name for name, _ in known])
            those = f"callers have {form} and {names}" if known else "the policy knows no callers"
            yield f"The certificate said {presented}; {those}."
        elif not self._of("is_grpc_call"):
            http = question.value_at(self._question["input"], "attributes", "request", "http")
            headers = question.value_at(http, "headers")
            encoding = question.value_at(headers, "grpc-encoding")
            yield (
                f"It was a {words.json_like(question.value_at(http, 'method'))} request with"
                f" content type {words.json_like(question.value_at(headers, 'content-type'))}"
                + (f" and gRPC encoding {words.json_like(encoding)}." if encoding else ".")
            )

    def _place_of(self, name: str, reason: str) -> list[str]:
        rule = self._rules.find(name)
        return [rule.place_of(reason)] if rule else []

    def _remedies(self, trials: Trials) -> list[Remedy]:
        if not self._granted():
            return []  # whatever else is different, nobody may make this call
        allowing = trials.allowing()
        return [
            Remedy(said, str(allowing[chosen].get("grant", "")))
            for said, chosen in phrases(list(allowing))
        ]


def _holds(condition: str, values: Mapping[str, Any]) -> bool:
    return values[_CONDITIONS].get(condition) == "ALLOWED"  # type: ignore[no-any-return]


def _lacking(grant: Grant) -> int:
    """How many of its conditions do not hold."""
    return sum(not condition.holds for condition in grant.conditions)
