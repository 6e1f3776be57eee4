"""Tokens by hand (RFC 7515, 7519), so that they can say anything."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_NUMBER_BYTES = 32


def encoded(data: bytes | Mapping[str, Any]) -> str:
    """Base64url without padding (RFC 7515, 2); a mapping as JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def es256(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """A signature as JWS has it: r and s side by side (RFC 7518, 3.4)."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(_NUMBER_BYTES, "big") + s.to_bytes(_NUMBER_BYTES, "big")


def token(
    key: ec.EllipticCurvePrivateKey, header: Mapping[str, Any], claims: Mapping[str, Any]
) -> str:
    """A compact JWS of any header and claims."""
    data = f"{encoded(header)}.{encoded(claims)}"
    return f"{data}.{encoded(es256(key, data.encode()))}"
