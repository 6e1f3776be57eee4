"""Using a provider: something that it keeps under the attempt's own name."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paymesh.attack.model import NONE, USE, Target
from paymesh.attack.probe.agent.plan import Address, Tls
from paymesh.attack.probe.attempts import Attempt, Tried, Verdict, letters, nonce
from paymesh.attack.probe.canaries.base import attempt, bearer, http, is_ok
from paymesh.attack.probe.errors import ProbeError
from paymesh.attack.probe.ground import Ground
from paymesh.mesh import External

# The provider's database, the table that its calls go into, the path and the request.
_USES: Mapping[str, tuple[str, str, str, Any]] = {
    "card-processor": (
        "cards.sqlite",
        "charges",
        "/v1/charges",
        lambda name: {
            "amount": 1,
            "currency": "EUR",
            "source": "tok_visa",
            "reference": name,
        },
    ),
    "bank-data": (
        "banks.sqlite",
        "bank_references",
        "/v1/exchange",
        lambda name: {"public_token": f"public-sandbox-success-{name}"},
    ),
}


class Providers:
    """All of them that deploy/mesh.yaml names."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        for name in ground.mesh.external:
            if name not in _USES:
                raise ProbeError(
                    f"no use is known of provider {name}: add one to"
                    " deploy/paymesh/attack/probe/canaries/providers.py"
                )

    def attempts(self, position: str) -> Iterator[Attempt]:
        """At the provider's own port, and by every workload's way out."""
        for external in self._ground.mesh.external.values():
            credential = f"provider:{external.name}"
            for presented in (NONE, credential):
                for words, secret in self._ground.shown(position, presented, credential):
                    for way, address, tls in self._ways(external):
                        yield self._use(
                            position, external, (way + words, address, tls), presented, secret
                        )

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """What the providers have kept."""
        kept = {name: self._kept(name) for name in self._ground.mesh.external}
        for one in tried:
            name = one.attempt.target.destination.partition(":")[2]
            seen = letters(one.attempt.id) in kept[name]
            yield Verdict(one, is_ok(one.result), seen)

    def _ways(self, external: External) -> Iterator[tuple[str, Address, Tls | None]]:
        tls: Tls = {"identity": None, "server_name": external.host, "alpn": ["http/1.1"]}
        yield "at its port", self._ground.tcp(external.port), tls
        for name, envoy in self._ground.envoys.items():
            for door in envoy.egress:
                yield f"by {name}'s {door.name} listener", door.address, None

    def _use(
        self,
        position: str,
        external: External,
        way: tuple[str, Address, Tls | None],
        credential: str,
        secret: str | None,
    ) -> Attempt:
        words, address, tls = way
        name = nonce()
        _, _, path, request = _USES[external.name]
        headers = {
            "host": external.host,
            "content-type": "application/json",
            "idempotency-key": letters(name),
            **bearer(secret),
        }
        body = json.dumps(request(letters(name))).encode()
        errand = http(name, address, ("POST", path), headers, body=body, tls=tls)
        target = Target(f"provider:{external.name}", USE)
        return attempt(position, target, words, errand, credential)

    def _kept(self, name: str) -> set[str]:
        """The idempotency keys of what was carried out."""
        file, table, _, _ = _USES[name]
        path = self._ground.paths.data / "simulators" / file
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as opened:
                rows = opened.execute(f"SELECT idempotency_key FROM {table}")  # noqa: S608
                return {row[0] for row in rows}
        except sqlite3.Error as error:
            raise ProbeError(f"{path} cannot be looked into: {error}") from error
