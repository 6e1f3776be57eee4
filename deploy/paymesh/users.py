"""Tokens for the end users of the demo and the tests, signed by the local issuer's key.

RFC 7519 with ES256 (RFC 7518, 3.4). A real deployment has an identity provider
in the issuer's place; gateway and policy see only its JWKS.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

import jwt

from paymesh.errors import ConfigError
from paymesh.mesh import Mesh, User
from paymesh.paths import Paths


def find(mesh: Mesh, name: str) -> User:
    """One of the users that deploy/mesh.yaml names.

    Raises:
        ConfigError: there is no such user; the text lists those there are.
    """
    try:
        return mesh.users.known[name]
    except KeyError:
        known = ", ".join(sorted(mesh.users.known))
        raise ConfigError(f"there is no user {name!r}; deploy/mesh.yaml names {known}") from None


def claims(mesh: Mesh, user: User, *, ttl_seconds: int | None = None) -> dict[str, Any]:
    """What a token of this user says, from now on for `ttl_seconds`."""
    now = int(time.time())
    return {
        "iss": mesh.users.issuer,
        "aud": mesh.users.audience,
        "sub": user.name,
        "tenant": user.tenant,
        "roles": list(user.roles),
        "iat": now,
        "exp": now + (mesh.users.token_ttl_seconds if ttl_seconds is None else ttl_seconds),
        "jti": str(uuid.uuid4()),
    }


def sign(paths: Paths, payload: Mapping[str, Any]) -> str:
    """A compact JWS of the claims.

    Raises:
        ConfigError: the issuer's key cannot be read: the mesh was never up, or
            the key belongs to somebody else.
    """
    try:
        key = (paths.issuer / "key.pem").read_bytes()
        (jwk,) = json.loads((paths.issuer / "jwks.json").read_text(encoding="utf-8"))["keys"]
    except PermissionError as error:
        raise ConfigError(f"{error.filename} belongs to another user: run as that user") from error
    except FileNotFoundError as error:
        raise ConfigError("there is no issuer key yet: run `paymesh up` first") from error
    return jwt.encode(dict(payload), key, algorithm="ES256", headers={"kid": jwk["kid"]})


def token(paths: Paths, mesh: Mesh, name: str, *, ttl_seconds: int | None = None) -> str:
    """A token for one of the users that deploy/mesh.yaml names.

    Raises:
        ConfigError: no such user, or no key.
    """
    return sign(paths, claims(mesh, find(mesh, name), ttl_seconds=ttl_seconds))
