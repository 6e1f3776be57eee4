"""What the canaries have in common."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from paymesh.attack.model import NONE, Target
from paymesh.attack.probe.agent.plan import ANSWERED, Address, Errand, Result, Tls
from paymesh.attack.probe.attempts import Attempt, Tried, Verdict

HTTP_OK = 200


class Canary(Protocol):
    """One kind of target."""

    def attempts(self, position: str) -> Iterator[Attempt]:
        """Every way from a position, with each credential that opens such a target."""

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """What the targets show, of attempts of this canary's own."""


def http(
    name: str,
    address: Address,
    request: tuple[str, str],
    headers: Mapping[str, str],
    *,
    body: bytes = b"",
    tls: Tls | None = None,
) -> Errand:
    """An HTTP/1.1 request. `request` is method and path; `headers` has `host`."""
    method, path = request
    return {
        "id": name,
        "kind": "http",
        "address": address,
        "tls": tls,
        "method": method,
        "path": path,
        "headers": dict(headers),
        "body": base64.b64encode(body).decode("ascii"),
    }


def bearer(secret: str | None) -> dict[str, str]:
    """The header with a secret, or nothing."""
    return {} if secret is None else {"authorization": f"Bearer {secret}"}


def attempt(
    position: str,
    target: Target,
    way: str,
    errand: Errand,
    credential: str = NONE,
) -> Attempt:
    """An attempt of an errand."""
    return Attempt(
        id=errand["id"],
        position=position,
        target=target,
        way=way,
        deed=errand,
        credential=credential,
    )


def data_of(result: Result) -> bytes:
    """A kept message, or the beginning of a body."""
    return base64.b64decode(result.get("data") or "")


def is_ok(result: Result, code: int = HTTP_OK) -> bool:
    """Whether there was an answer with this status."""
    return result["state"] == ANSWERED and result.get("code") == code
