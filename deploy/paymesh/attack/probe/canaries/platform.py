"""Envoy's administration, the bundle server, the supervisor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paymesh.attack.model import ADMINISTER, CONTROL, FETCH, NONE, Target
from paymesh.attack.probe.agent.plan import ANSWERED, Errand
from paymesh.attack.probe.agent.work import carry_out
from paymesh.attack.probe.attempts import Attempt, Tried, Verdict, nonce
from paymesh.attack.probe.canaries.base import attempt, bearer, data_of, http, is_ok
from paymesh.attack.probe.errors import ProbeError
from paymesh.attack.probe.ground import Ground
from paymesh.policy.names import FILE_NAME
from paymesh.runtime import control

_INFO = "/server_info"


class Envoys:
    """The administration interface has no log, so what it answers is compared with what root
    is told by the very Envoy.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def attempts(self, position: str) -> Iterator[Attempt]:
        """Where its configuration says; as shipped that is a socket."""
        for name, envoy in self._ground.envoys.items():
            errand = http(nonce(), envoy.admin.address, ("GET", _INFO), {"host": "localhost"})
            target = Target(f"envoy:{name}", ADMINISTER)
            way = "by its administration " + ("port" if envoy.admin.is_port else "socket")
            yield attempt(position, target, way, errand)

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """Whether it is the Envoy that was meant."""
        for one in tried:
            answered = is_ok(one.result)
            seen = answered and self._facts(one) == _stable(data_of(one.result))
            yield Verdict(one, answered, seen)

    def _facts(self, one: Tried) -> tuple[str, ...]:
        name = one.attempt.target.destination.partition(":")[2]
        errand = http(
            nonce(), self._ground.envoys[name].admin.address, ("GET", _INFO), {"host": "localhost"}
        )
        (result,) = carry_out(
            {"certificates": {}, "headers": {}, "conversations": [], "errands": [errand]}
        )["results"]
        found = _stable(data_of(result))
        if name not in found:
            raise ProbeError(f"{name}'s Envoy does not say that it is {name}'s")
        return found


def _stable(body: bytes) -> tuple[str, ...]:
    """What an Envoy says of itself from its start to its end."""
    try:
        said = json.loads(body)
        return (said["node"]["id"], said["version"], said["hot_restart_version"])
    except (ValueError, KeyError, TypeError):
        return ()


class Bundles:
    """The policy as it is published; whoever fetched it has its bytes."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def attempts(self, position: str) -> Iterator[Attempt]:
        """At its port, with each workload's token."""
        mesh = self._ground.mesh
        tokens = [f"bundle:{workload.name}" for workload in mesh.services()]
        address = self._ground.tcp(mesh.ports["bundle_server"])
        lying = [pair for token in tokens for pair in self._ground.shown(position, NONE, token)[1:]]
        for credential in (NONE, *tokens):
            pairs = (
                [("", None), *lying]
                if credential == NONE
                else [("", self._ground.secret(credential))]
            )
            for words, secret in pairs:
                headers = {"host": "localhost", **bearer(secret)}
                errand = http(nonce(), address, ("GET", f"/bundles/{FILE_NAME}"), headers)
                target = Target("bundle-server", FETCH)
                yield attempt(position, target, f"at its port{words}", errand, credential)

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """The bytes are those of the file that only the supervisor writes."""
        content = (self._ground.paths.bundles / FILE_NAME).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        for one in tried:
            yield Verdict(one, is_ok(one.result), one.result.get("digest") == digest)


class Supervisor:
    """Its control socket. It has no log of requests, so what it answers is compared with what
    root is told.
    """

    # To wait for a process that is ready changes nothing; any will do.
    _WAIT: Mapping[str, Any] = {"operation": "wait", "name": "simulators", "timeout_seconds": 5}

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def attempts(self, position: str) -> Iterator[Attempt]:
        """At its socket."""
        errand: Errand = {
            "id": nonce(),
            "kind": "line",
            "address": {"unix": str(self._ground.paths.control_socket)},
            "text": json.dumps(self._WAIT),
        }
        target = Target("supervisor", CONTROL)
        yield attempt(position, target, "by its control socket", errand)

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """Whether it carried out what it was asked for."""
        for one in tried:
            answered = one.result["state"] == ANSWERED
            yield Verdict(one, answered, answered and self._obeyed(data_of(one.result)))

    def _obeyed(self, line: bytes) -> bool:
        fields = {key: value for key, value in self._WAIT.items() if key != "operation"}
        told = control.request(self._ground.paths, self._WAIT["operation"], **fields)
        return bool(told.get("ok")) and line.strip() == json.dumps(told).encode()
