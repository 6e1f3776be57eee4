"""Asking a decision point, by its data API and by its authorisation socket: a record of it."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Sequence

from paymesh.attack.model import ASK, CHECK, NONE, Target
from paymesh.attack.probe.attempts import Attempt, Spoken, Tried, Verdict, nonce
from paymesh.attack.probe.canaries.base import attempt, bearer, data_of, http, is_ok
from paymesh.attack.probe.ground import Ground
from paymesh.attack.probe.protobuf import text

_OBJECTS = "paymesh/objects/decision"
_CHECK_RPC = "/envoy.service.auth.v3.Authorization/Check"


class Asking:
    """The data API: one question is open to who has the decision point's token."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def attempts(self, position: str) -> Iterator[Attempt]:
        """At its port."""
        mesh = self._ground.mesh
        for service in mesh.services():
            target = Target(f"decision-point:{service.name}", ASK)
            for credential in (NONE, target.destination):
                for words, secret in self._ground.shown(position, credential, target.destination):
                    headers = {"host": "localhost", **bearer(secret)}
                    body = json.dumps({"input": _question(mesh.spiffe_id("gateway"))}).encode()
                    address = self._ground.tcp(service.pdp_port)
                    request = ("POST", f"/v1/data/{_OBJECTS}")
                    errand = http(nonce(), address, request, headers, body=body)
                    yield attempt(position, target, f"at its port{words}", errand, credential)

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """The record of the very decision that the answer names."""
        records = _Records(self._ground, tried)
        for one in tried:
            if not is_ok(one.result):
                yield Verdict(one, answered=False, seen=False)
                continue
            decision = json.loads(data_of(one.result)).get("decision_id", "")
            seen = records.has(one, f'"decision_id":"{decision}"', _OBJECTS)
            yield Verdict(one, answered=True, seen=seen)


class Checking:
    """The socket that the workload's Envoy asks at: nothing but the socket's mode is asked."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def attempts(self, position: str) -> Iterator[Attempt]:
        """As Envoy asks, about a call that names the attempt."""
        mesh = self._ground.mesh
        for service in mesh.services():
            name = nonce()
            call = Spoken(
                self._ground.unix(service.name, "authz.sock"),
                None,
                {
                    "id": name,
                    "path": _CHECK_RPC,
                    "authority": "localhost",
                    "headers": [],
                    "body": base64.b64encode(_check(name, mesh.spiffe_id("gateway"))).decode(),
                },
            )
            target = Target(f"decision-point:{service.name}", CHECK)
            yield Attempt(name, position, target, "by its authorisation socket", call)

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """The record that has the attempt's request id."""
        records = _Records(self._ground, tried)
        for one in tried:
            seen = records.has(one, str(uuid.UUID(one.attempt.id)), "paymesh/authz/decision")
            yield Verdict(one, is_ok(one.result, code=0), seen)


class _Records:
    """The decision logs of those decision points that were asked."""

    def __init__(self, ground: Ground, tried: Sequence[Tried]) -> None:
        workloads = {_of(one) for one in tried}
        self._lines = {
            name: (ground.paths.workload(name) / "decisions.jsonl").read_text("utf-8").splitlines()
            for name in workloads
        }

    def has(self, tried: Tried, sign: str, policy: str) -> bool:
        """Whether there is a record of this policy's decision with `sign` in it."""
        return any(
            sign in line and json.loads(line)["policy_path"] == policy
            for line in self._lines[_of(tried)]
        )


def _of(tried: Tried) -> str:
    return tried.attempt.target.destination.partition(":")[2]


def _question(caller: str) -> dict[str, object]:
    return {
        "action": "accounts.read",
        "caller": caller,
        "user": {"sub": "alice", "tenant": "acme", "roles": ["auditor"]},
        "object": {"tenant": "acme"},
    }


def _check(name: str, caller: str) -> bytes:
    """A CheckRequest (Envoy's service/auth/v3/external_auth.proto and attribute_context.proto)
    for a call of health.
    """
    headers = {
        ":method": "POST",
        "content-type": "application/grpc",
        "x-request-id": str(uuid.UUID(name)),
    }
    request = b"".join(
        (
            text(2, "POST"),
            *(text(3, text(1, key) + text(2, value)) for key, value in headers.items()),
            text(4, "/grpc.health.v1.Health/Check"),
            text(6, "https"),
            text(10, "HTTP/2"),
            text(12, b"\0\0\0\0\0"),
        )
    )
    return text(1, text(1, text(4, caller)) + text(4, text(2, request)))
