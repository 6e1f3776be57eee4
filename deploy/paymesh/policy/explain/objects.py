"""The explanation of a decision on an object.

The rules say in Rego who may have what; which of them allowed, or would have allowed had one
thing been different, is read from the evaluation's own trace.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from paymesh.policy import engine
from paymesh.policy.explain import asking, changes, places, words
from paymesh.policy.explain.asking import Policy
from paymesh.policy.explain.changes import Change
from paymesh.policy.explain.ground import Ground
from paymesh.policy.explain.model import Explanation, Person, Remedy
from paymesh.policy.explain.question import Question
from paymesh.policy.explain.trials import Trials, phrases

_ACTIONS = "data.paymesh.objects.actions"
# A line of OPA's trace: the file and line of a rule that came out true.
_EXIT = re.compile(r"^/?(\S+\.rego):(\d+)\s.*Exit data\.paymesh\.objects\._allowed", re.MULTILINE)
_NO_VALUES = ("OBJECT_DENIED", "ALLOWED", "POLICY_ERROR")
# Sentences of the object decision's own codes; the others are in reasons.rego.
SENTENCES = {
    "ALLOWED": "A rule allows this action on this object.",
    "OBJECT_DENIED": "No rule lets this caller and user do this to this object.",
    "POLICY_ERROR": "The service asked for an action that the policy does not know.",
}


class ObjectQuestion:
    """One question about an object, its policy, and what that says of it."""

    def __init__(self, policy: Policy, ground: Ground, asked: Question) -> None:
        self._policy = policy
        self._question = asked
        self._rules = places.Rules(ground.files, places.OBJECTS)
        self._environment: Mapping[str, Any] = ground.data("environment")
        (answer,) = policy.ask([asked], [engine.OBJECTS, _ACTIONS])
        self.partial = answer.partial
        self._values = answer.values

    @property
    def decision(self) -> Mapping[str, Any]:
        """The policy's answer."""
        found = self._values.get(engine.OBJECTS)
        return found if isinstance(found, Mapping) else {}

    def sentence(self, code: str) -> tuple[str, str]:
        """What a code means, and where the answer stands."""
        rule = self._rules.find("decision")
        default = self._rules.defaults("decision")
        places_of = [
            r.place_of(code) for r in (rule, default) if r and f'"{code}"' in "".join(r.text)
        ]
        return SENTENCES.get(code, ""), places_of[0] if places_of else ""

    def add_to(self, base: Explanation) -> Explanation:
        """The explanation with everything that the policy says of the object."""
        asked = self._question["input"]
        user = asked.get("user")
        found = dataclasses.replace(
            base,
            user=person(user) if isinstance(user, dict) else None,
            object=asked.get("object") if isinstance(asked.get("object"), dict) else {},
        )
        if asking.is_allowed(self.decision):
            rule = self._allowing([self._question])[0]
            return dataclasses.replace(
                found,
                decided_by=(rule.place,) if rule else (),
                rule=rule.text if rule else (),
            )
        actions = self._values.get(_ACTIONS) or ()
        if asked.get("action") not in actions:
            known = self._rules.find("actions")
            return dataclasses.replace(
                found,
                decided_by=(known.place,) if known else (),
                notes=(*base.notes, f"The policy knows the actions {words.both(sorted(actions))}."),
            )
        default = self._rules.defaults("decision")
        return dataclasses.replace(
            found,
            decided_by=(default.place,) if default else (),
            remedies=tuple(self._remedies()),
        )

    def _remedies(self) -> list[Remedy]:
        tried = list(self._changes())
        allowing = Trials(self._policy, self._question, tried, engine.OBJECTS).allowing()
        said = phrases(list(allowing))
        rules = self._allowing([changes.changed(self._question, chosen) for _, chosen in said])
        return [
            Remedy(words_of, rule.place if rule else "")
            for (words_of, _), rule in zip(said, rules, strict=True)
        ]

    def _allowing(self, questions: Sequence[Question]) -> list[places.Rule | None]:
        """The rule by which each question is allowed."""
        found = []
        for answer in self._policy.ask(questions, [engine.OBJECTS], trace=True):
            match = _EXIT.search(answer.trace)
            found.append(self._rules.at(match[1], int(match[2])) if match else None)
        return found

    def _changes(self) -> Iterator[Change]:
        asked = self._question["input"]
        user = asked.get("user") if isinstance(asked.get("user"), dict) else None
        facts = asked.get("object") if isinstance(asked.get("object"), dict) else {}
        if user is None:
            somebody = {
                "sub": facts.get("owner", "somebody"),
                "tenant": facts.get("tenant", "somewhere"),
                "roles": [],
            }
            yield Change("user", "an end user{}", "", _put(user=somebody), weight=2)
        else:
            yield Change("user", "no end user{}", "", _put(user=None), weight=3)
        known = {*asked.get("roles", ()), *self._environment.get("workloads", ())}
        for role in changes.quoted_words(self._rules.text, known):
            yield Change("role", "the role {}", role, _give(role))
        if user is not None:
            tenant, sub = user.get("tenant"), user.get("sub")
            phrase = "an object of the user's own tenant, {}"
            yield Change("tenant", phrase, words.json_like(tenant), _state(tenant=tenant), weight=2)
            phrase = "an object that is {}'s own"
            yield Change("owner", phrase, words.json_like(sub), _state(owner=sub), weight=2)
        for value in changes.quoted_names(self._rules.text, _NO_VALUES):
            for name in ("state", "kind"):
                phrase = f"an object of {name} {{}}"
                yield Change(name, phrase, value, _state(**{name: value}), weight=2)
        callers = self._environment.get("workloads", ())
        yield from changes.of_caller(self._question, self._environment, callers)


def _put(**fields: Any) -> Callable[[Question], None]:
    return lambda asked: asked["input"].update(copy.deepcopy(fields))


def _state(**fields: Any) -> Callable[[Question], None]:
    """Another fact about the object."""

    def apply(asked: Question) -> None:
        known = asked["input"].get("object")
        asked["input"]["object"] = {**(known if isinstance(known, dict) else {}), **fields}

    return apply


def _give(role: str) -> Callable[[Question], None]:
    def apply(asked: Question) -> None:
        user = asked["input"].get("user")
        if isinstance(user, dict):
            roles = user.get("roles")
            user["roles"] = [*(roles if isinstance(roles, list) else []), role]

    return apply


def person(user: Mapping[str, Any]) -> Person:
    """A user as a record or a service states it."""
    roles = user.get("roles")
    return Person(
        words.json_like(user.get("sub", "")),
        words.json_like(user.get("tenant", "")),
        tuple(words.json_like(role) for role in roles) if isinstance(roles, list) else (),
    )
