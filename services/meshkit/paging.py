"""Page tokens: where a page ended, bound to the query that it belongs to.

A token is opaque to clients (AIP-158) and no secret: it is bound by a digest,
not signed, because every page is authorised anew and a forged token can only
choose another place to go on from in what the user may see anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

import grpc

from meshkit.errors import MeshError

MAX_TOKEN_LENGTH = 256

_DIGEST_BYTES = 8
_VERSION = b"\x01"


class InvalidPageToken(MeshError):
    """The token is not one of ours, or belongs to another query."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_PAGE_TOKEN"
    message = "The page token does not belong to this query."


def encode_page_token(cursor: Sequence[str], query: Sequence[str]) -> str:
    """Return the token of a page that ended at `cursor`.

    `query` is what makes up the query besides the page size, in a fixed order,
    the RPC's name first. Raises ValueError when the token gets longer than 256.
    """
    body = json.dumps(list(cursor), ensure_ascii=False, separators=(",", ":")).encode()
    token = base64.urlsafe_b64encode(_VERSION + _digest(query, body) + body).decode().rstrip("=")
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError(f"a page token has at most {MAX_TOKEN_LENGTH} characters")
    return token


def decode_page_token(token: str, query: Sequence[str], *, length: int) -> tuple[str, ...] | None:
    """Return the cursor of `length` strings, None for the empty token of the first page.

    Raises InvalidPageToken.
    """
    if not token:
        return None
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        raise InvalidPageToken
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidPageToken from None
    version, digest, body = raw[:1], raw[1 : 1 + _DIGEST_BYTES], raw[1 + _DIGEST_BYTES :]
    if version != _VERSION or digest != _digest(query, body):
        raise InvalidPageToken
    try:
        cursor = json.loads(body)
    except ValueError:
        raise InvalidPageToken from None
    if (
        not isinstance(cursor, list)
        or len(cursor) != length
        or not all(isinstance(part, str) for part in cursor)
    ):
        raise InvalidPageToken
    return tuple(cursor)


def page_size(requested: int, *, default: int, maximum: int) -> int:
    """Return how many items a page has: 0 means the default, too many counts as the maximum."""
    return default if requested <= 0 else min(requested, maximum)


def _digest(query: Sequence[str], body: bytes) -> bytes:
    # JSON and not a joined string: ("a", "bc") and ("ab", "c") are different queries.
    key = json.dumps(list(query), ensure_ascii=False).encode()
    return hashlib.blake2b(
        body, key=hashlib.sha256(key).digest(), digest_size=_DIGEST_BYTES
    ).digest()
