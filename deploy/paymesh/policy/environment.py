"""What the policy has to know of the mesh it runs in: `data.paymesh.environment`.

It is not in git, because it differs between meshes, and it stands in the signed
bundle, because whoever could change it could name himself a workload.
"""

from __future__ import annotations

import json
from typing import Any

from paymesh.errors import ConfigError
from paymesh.mesh import Mesh

_PUBLIC_MEMBERS = frozenset({"kty", "crv", "x", "y", "kid", "use", "alg"})
_COORDINATE_CHARACTERS = 43


def environment(mesh: Mesh, jwks: str) -> dict[str, Any]:
    """`{trust_domain, namespace, workloads, users: {issuer, audience, jwks}}`.

    Args:
        mesh: of which the ids and the issuer are taken.
        jwks: the issuer's public keys, a JWK Set (RFC 7517) as text.

    Raises:
        ConfigError: the JWK Set is none, or holds anything but public P-256 keys
            with distinct key ids.
    """
    return {
        "trust_domain": mesh.trust_domain,
        "namespace": mesh.namespace,
        "workloads": sorted(mesh.workloads),
        "users": {
            "issuer": mesh.users.issuer,
            "audience": mesh.users.audience,
            "jwks": json.dumps({"keys": _keys(jwks)}, sort_keys=True, separators=(",", ":")),
        },
    }


def _keys(jwks: str) -> list[dict[str, str]]:
    try:
        keys = json.loads(jwks)["keys"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("the issuer's keys are no JWK Set: make them anew") from error
    if not isinstance(keys, list) or not keys or not all(_is_public_p256(key) for key in keys):
        raise ConfigError(
            "the issuer's JWK Set must hold public P-256 keys with a kid, and nothing else"
        )
    ids = [key["kid"] for key in keys]
    if len(set(ids)) != len(ids):
        raise ConfigError("two keys in the issuer's JWK Set have the same kid")
    return keys


def _is_public_p256(key: Any) -> bool:
    return (
        isinstance(key, dict)
        and set(key) <= _PUBLIC_MEMBERS
        and all(isinstance(value, str) for value in key.values())
        and (key.get("kty"), key.get("crv")) == ("EC", "P-256")
        and bool(key.get("kid"))
        and all(len(key.get(axis, "")) == _COORDINATE_CHARACTERS for axis in ("x", "y"))
        and key.get("use", "sig") == "sig"
        and key.get("alg", "ES256") == "ES256"
    )
