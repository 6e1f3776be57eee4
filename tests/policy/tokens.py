"""The users of the table as callers: a token for each, of an issuer that the mesh trusts."""

from __future__ import annotations

import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh import users
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from policy.table import Table

_PAST_SECONDS, _EXPIRED_SECONDS, _LIFE_SECONDS = 100, 30, 600

Metadata = list[tuple[str, str]]


def metadata(mesh: Mesh, paths: Paths, table: Table) -> dict[str, Metadata]:
    """Name of a user → the metadata that makes a call theirs; none for a call without a user.

    Args:
        mesh: whose issuer and audience.
        paths: where the issuer's key is.
        table: with the users.
    """
    now = int(time.time())
    forger = ec.generate_private_key(ec.SECP256R1())
    found: dict[str, Metadata] = {}
    for name, user in table.users.items():
        if user is None:
            found[name] = []
            continue
        claims: dict[str, Any] = {
            "iss": mesh.users.issuer,
            "aud": mesh.users.audience,
            "iat": now - _PAST_SECONDS,
            "exp": now - _EXPIRED_SECONDS if user.get("expired") else now + _LIFE_SECONDS,
            **{claim: user[claim] for claim in ("sub", "tenant", "roles")},
        }
        token = users.sign(paths, claims)
        if user.get("forged"):
            kid = jwt.get_unverified_header(token)["kid"]
            token = jwt.encode(claims, forger, algorithm="ES256", headers={"kid": kid})
        found[name] = [("authorization", f"Bearer {token}")]
    return found
