"""The calls of the hand-written table as what Envoy would ask the policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.mesh import Mesh
from paymesh.runtime.issuer import jwk

from .table import Case, Table

_PAST_SECONDS, _EXPIRED_SECONDS, _LIFE_SECONDS = 100, 10, 600


def tokens(
    users: Mapping[str, Any], mesh: Mesh, issuer_key: ec.EllipticCurvePrivateKey, now: int
) -> dict[str, str | None]:
    """A bearer token for each user of the table, good or bad at `now` as the table says.

    Args:
        users: of the table.
        mesh: whose issuer and audience.
        issuer_key: signs all but the forged ones.
        now: seconds since the epoch.
    """
    forger = ec.generate_private_key(ec.SECP256R1())
    headers = {"kid": jwk(issuer_key.public_key())["kid"]}
    found: dict[str, str | None] = {}
    for name, user in users.items():
        if user is None:
            found[name] = None
            continue
        claims = {
            "iss": mesh.users.issuer,
            "aud": mesh.users.audience,
            "iat": now - _PAST_SECONDS,
            "exp": now - _EXPIRED_SECONDS if user.get("expired") else now + _LIFE_SECONDS,
            **{claim: user[claim] for claim in ("sub", "tenant", "roles")},
        }
        key = forger if user.get("forged") else issuer_key
        found[name] = jwt.encode(claims, key, algorithm="ES256", headers=headers)
    return found


def questions(
    table: Table,
    mesh: Mesh,
    rpcs: Collection[str],
    currencies: Collection[str],
    bearers: Mapping[str, str | None],
) -> list[tuple[Case, dict[str, Any]]]:
    """Everything that the table says, each call with its input.

    Args:
        table: says what is expected.
        mesh: whose workloads call.
        rpcs: all there are, so that those that the table does not name are called, too.
        currencies: all there are, for the same reason.
        bearers: what `tokens` made.
    """
    calls = [(case, table.bodies[case.body]) for case in table.cases(mesh.workloads, rpcs)]
    calls += table.amounts(currencies)
    return [
        (case, document(mesh.spiffe_id(case.caller), case.rpc, bearers[case.user], body))
        for case, body in calls
    ]


def document(principal: str, rpc: str, token: str | None, body: Any) -> dict[str, Any]:
    """The input of one call, in the form of the OPA-Envoy contract."""
    headers = {"content-type": "application/grpc"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return {
        "attributes": {
            "source": {"principal": principal},
            "request": {"http": {"method": "POST", "path": rpc, "headers": headers}},
        },
        "parsed_body": body,
        "truncated_body": False,
    }
