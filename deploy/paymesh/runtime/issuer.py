"""The end users' token issuer of this machine: one ES256 key and its JWKS (RFC 7517)."""

from __future__ import annotations

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.paths import Paths
from paymesh.runtime.files import ensure_directory, write_file
from paymesh.runtime.pki import ensure_key

_P256_BYTES = 32


def ensure_issuer(paths: Paths) -> str:
    """Makes `issuer/key.pem` (0600) and `issuer/jwks.json` when missing; returns the JWKS."""
    ensure_directory(paths.issuer, 0o700)
    key = ensure_key(paths.issuer / "key.pem")
    text = json.dumps({"keys": [jwk(key.public_key())]}, indent=2) + "\n"
    write_file(paths.issuer / "jwks.json", text, 0o644)
    return text


def jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """The public key as a JWK; its `kid` is the thumbprint (RFC 7638)."""
    numbers = key.public_numbers()
    members = {
        "crv": "P-256",
        "kty": "EC",
        "x": _base64url(numbers.x.to_bytes(_P256_BYTES, "big")),
        "y": _base64url(numbers.y.to_bytes(_P256_BYTES, "big")),
    }
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    thumbprint = _base64url(hashlib.sha256(canonical.encode("ascii")).digest())
    return {**members, "kid": thumbprint, "use": "sig", "alg": "ES256"}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
