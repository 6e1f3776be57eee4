"""gRPC over HTTP/2 as a well-behaved client writes it, for callers to spoil.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

from collections.abc import Iterable

from paymesh.attack.wire.hpack import Field


def grpc_headers(
    path: str, authority: str, *, scheme: str = "https", extra: Iterable[Field] = ()
) -> tuple[Field, ...]:
    """The header of a unary call; `extra` comes last."""
    return (
        (b":method", b"POST"),
        (b":scheme", scheme.encode()),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *extra,
    )


def message(body: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """A length-prefixed message; `flag` 1 says compressed, `length` may lie (32 bits)."""
    return bytes([flag]) + (len(body) if length is None else length).to_bytes(4, "big") + body
