"""What the demo's steps share: channels as each user, one call, one line of the report."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from paymesh import dial
from paymesh.calls import Catalogue, Reply
from paymesh.mesh import Mesh
from paymesh.paths import Paths

TENANT = "acme"
_NAMESPACE = uuid.UUID("6f3f0c86-2b1c-5a53-8f0e-1d0f6f6d1a11")


@dataclasses.dataclass(frozen=True)
class Line:
    """One thing that was tried: what came of it, and whether that was expected."""

    step: str
    what: str
    outcome: str
    expected: bool


class Session:
    """One run of the demo against a running mesh."""

    def __init__(
        self, paths: Paths, mesh: Mesh, channel: grpc.Channel, show: Callable[[Line], None]
    ) -> None:
        self.paths = paths
        self.mesh = mesh
        self.run_id = uuid.uuid4().hex[:8]
        self.lines: list[Line] = []
        self._channel = channel
        self._show = show
        self._catalogue = Catalogue.load()

    @classmethod
    @contextlib.contextmanager
    def open(cls, paths: Paths, mesh: Mesh, show: Callable[[Line], None]) -> Iterator[Session]:
        """With one connection to the gateway, as a client would keep it.

        Args:
            paths: of a mesh that is up.
            mesh: the same.
            show: is given each line as it comes about.
        """
        with dial.gateway(paths, mesh) as channel:
            yield cls(paths, mesh, channel, show)

    def call(self, user: str, rpc: str, request: dict[str, Any]) -> Reply:
        """As an end user, through the gateway."""
        metadata = dial.user_metadata(self.paths, self.mesh, user)
        return self.send(self._channel, rpc, request, metadata)

    def send(
        self,
        channel: grpc.Channel,
        rpc: str,
        request: dict[str, Any],
        metadata: Any = (),
        timeout_seconds: float = 15.0,
    ) -> Reply:
        """On any channel."""
        return self._catalogue.send(
            channel, rpc, request, metadata=metadata, timeout_seconds=timeout_seconds
        )

    def report(self, step: str, what: str, outcome: str, *, expected: bool) -> None:
        """Adds a line."""
        line = Line(step, what, outcome, expected)
        self.lines.append(line)
        self._show(line)

    def request_id(self, name: str) -> str:
        """The same UUID in every run: accounts are opened once."""
        return str(uuid.uuid5(_NAMESPACE, f"{TENANT}/{name}"))

    def balances(self) -> dict[str, dict[str, Any]]:
        """Account id → kind, currency and minor units of every account of the tenant."""
        found: dict[str, dict[str, Any]] = {}
        page_token = ""
        while True:
            reply = self.call(
                "audrey",
                "ledger/ListBalances",
                {"legal_entity": TENANT, "page_token": page_token},
            )
            if not reply.ok:
                raise RuntimeError(f"balances could not be read: {reply.code} {reply.reason}")
            for balance in reply.body.get("balances", []):
                account = balance["account"]
                found[account["account_id"]] = {
                    "kind": account["kind"].removeprefix("ACCOUNT_KIND_").lower(),
                    "currency": account["currency_code"],
                    "minor_units": int(balance["amount"].get("minor_units", 0)),
                    "entries": int(balance.get("entry_count", 0)),
                }
            page_token = reply.body.get("next_page_token", "")
            if not page_token:
                return found


def outcome(reply: Reply) -> str:
    """A reply in a few words: status, reason and the start of the decision id."""
    if reply.ok:
        return "OK"
    words = [reply.code, reply.reason or ""]
    if reply.decision_id:
        words.append(f"decision {reply.decision_id}")
    return " ".join(word for word in words if word)
