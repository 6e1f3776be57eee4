"""The questions: every caller, every RPC and action, every kind of end user, every class.

A plan that is made of two states asks both the same, with whatever either of them knows, so
that what an edit adds is seen in the state that has it not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paymesh.calls import Catalogue
from paymesh.policy.matrix import disguises, objects, shapes, subjects
from paymesh.policy.matrix.shapes import Class, Shape
from paymesh.policy.matrix.source import Source
from paymesh.policy.matrix.subjects import EndUser
from paymesh.render.rpcs import rpcs_of

_GENUINE_TYPE = "application/grpc"


@dataclasses.dataclass(frozen=True)
class Target:
    """An RPC, or an action of the object decision; `model` is whom strangers resemble."""

    name: str
    shape: Shape
    model: str
    is_call: bool

    @property
    def short(self) -> str:
        """`payments.v1.PaymentsService/GetPayment` as `PaymentsService/GetPayment`."""
        return self.name.rpartition(".")[2] if self.name.startswith("/") else self.name


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is asked. `users` of a call are all, of an action those that a service can state."""

    callers: tuple[str, ...]
    users: tuple[EndUser, ...]
    targets: tuple[Target, ...]

    def users_of(self, target: Target) -> tuple[EndUser, ...]:
        """A service states only users whose token was good."""
        return tuple(user for user in self.users if target.is_call or user.is_genuine)

    def only(
        self, *, caller: str | None = None, target: str | None = None, user: str | None = None
    ) -> Plan:
        """The part of it about one caller, target or kind of end user."""
        return Plan(
            tuple(name for name in self.callers if caller in {None, name}),
            tuple(one for one in self.users if user in {None, one.name}),
            tuple(one for one in self.targets if target in {None, one.name}),
        )

    def calls(self) -> Plan:
        """The part of it that is asked of the decision on calls."""
        return dataclasses.replace(self, targets=tuple(t for t in self.targets if t.is_call))

    def actions(self) -> Plan:
        """The part of it that is asked of the decision on objects."""
        return dataclasses.replace(self, targets=tuple(t for t in self.targets if not t.is_call))

    def cells(self) -> Iterator[tuple[str, Target, EndUser]]:
        """Every combination, in the order of the answers."""
        for target in self.targets:
            for caller in self.callers:
                for user in self.users_of(target):
                    yield caller, target, user

    def questions(self, environment: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """One for each class of each cell, as `paymesh-pdp decide` reads them."""
        for caller, target, user in self.cells():
            principal = subjects.principal(environment, caller, target.model)
            token = user.token(environment) if target.is_call else None
            for one in target.shape.classes:
                if target.is_call:
                    document = _call(principal, target.name, one, has_token=token is not None)
                else:
                    document = _object(principal, target.name, one, user)
                yield {"id": "", "input": document, "token": token, "time": subjects.TIME}


def make(*sources: Source) -> Plan:
    """The plan of one state, or of several that are to be compared.

    Raises:
        ConfigError: a descriptor set or a role says something impossible.
    """
    workloads = _union(source.workloads for source in sources)
    roles = set().union(*(source.roles for source in sources))
    words = set().union(*(source.words for source in sources))
    return Plan(
        (*workloads, *subjects.STRANGERS),
        subjects.end_users(roles, words),
        (*_calls(sources, workloads[0]), *_actions(sources, workloads[0])),
    )


def _calls(sources: Sequence[Source], first: str) -> Iterator[Target]:
    tables = [table for source in sources for table in source.limits.values()]
    messages: dict[str, list[Any]] = {}
    granted: dict[str, str] = {}
    for source in sources:
        catalogue = Catalogue(source.descriptors)
        for rpc in rpcs_of(source.descriptors):
            method = catalogue.service(rpc.service).methods_by_name[rpc.method]
            messages.setdefault(rpc.path, []).append(method.input_type)
        granted |= source.granted
        for path in source.granted:
            # Granted and in no descriptor: nobody serves it, but it is not passed over.
            messages.setdefault(path, [])
    found = {path: shapes.shape(inputs, tables) for path, inputs in sorted(messages.items())}
    for path, one in found.items():
        yield Target(path, one, granted.get(path, first), is_call=True)
    yield Target(disguises.NAME, disguises.shape(found.items()), first, is_call=True)


def _actions(sources: Sequence[Source], first: str) -> Iterator[Target]:
    known = objects.facts(source.descriptors for source in sources)
    actions = set().union(*(source.actions for source in sources))
    for action in (*sorted(actions), objects.UNKNOWN_ACTION):
        yield Target(action, objects.shape(action, known), first, is_call=False)


def _union(lists: Iterator[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in lists for name in names))


def _call(principal: str, rpc: str, one: Class, *, has_token: bool) -> dict[str, Any]:
    """The input as the decision log records it: null is a token that is not written down."""
    headers: dict[str, Any] = {"content-type": _GENUINE_TYPE}
    if has_token:
        headers["authorization"] = None
    http = {"method": "POST", "path": rpc, "headers": headers}
    if one.disguise is not None:
        other = dict(one.disguise)
        http["path"] = other.pop("path") + other.pop("behind", "")
        http["method"] = other.pop("method", "POST")
        headers |= other
    return {
        "attributes": {"source": {"principal": principal}, "request": {"http": http}},
        "parsed_body": one.body,
        "truncated_body": one.truncated,
    }


def _object(principal: str, action: str, one: Class, user: EndUser) -> dict[str, Any]:
    stated = None if user.roles is None else user.claims()
    return {"action": action, "caller": principal, "user": stated, "object": one.body}
