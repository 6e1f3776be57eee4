"""Calls as HTTP and JSON, which the gateway turns into gRPC; right ones and spoilt ones."""

from __future__ import annotations

from paymesh.attack import wire
from paymesh.attack.fuzz.draft import Draft
from paymesh.attack.fuzz.menu import Rest

_TYPES = (b"application/json", b"application/json; charset=utf-16", b"application/grpc", b"x", b"")
_NUMBERS = (
    b"1e400",
    b"-0",
    b"NaN",
    b"1.5",
    b'"1"',
    b"9223372036854775808",
    b"null",
    b"true",
    b"[]",
)
_NOTES = (b"/", b":verify", b"%2f..", b"?x=1", b"?page_size=1&page_size=2", b"/../", b";a", b"%00")
_DEEP = b'{"a":' * 2000


def fields(draft: Draft, call: Rest, extra: list[wire.Field]) -> list[wire.Field]:
    """Header fields of the call, spoilt half of the time."""
    path, kind, method = call.path.encode(), b"application/json", call.method.encode()
    if draft.chance(30):
        at = path.rfind(b"/") + 1
        path = draft.rng.choice((path + draft.rng.choice(_NOTES), path[:at] + b"..", path[:at]))
    if draft.chance(15):
        kind = draft.rng.choice(_TYPES)
    if draft.chance(8):
        method = draft.rng.choice((b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD"))
    return [
        (b":method", method),
        (b":scheme", b"https"),
        (b":path", path),
        (b":authority", draft.menu.authority.encode()),
        (b"content-type", kind),
        *extra,
    ]


def body(draft: Draft, right: bytes) -> bytes:
    """The JSON, spoilt half of the time."""
    rng = draft.rng
    if draft.chance(50):
        return right
    cut = rng.randrange(len(right) + 1)
    ways = (
        right[:cut],
        right[:cut] + rng.randbytes(2) + right[cut:],
        right + right,
        b"\xef\xbb\xbf" + right,
        b"[" + right + b"]",
        right.replace(b"{", b'{"@type":"type.googleapis.com/google.protobuf.Any",', 1),
        right.replace(b"{", b'{"unknown_field":1,', 1),
        right.replace(b'"', b"'"),
        right.replace(b"_", b"\\u005f"),
        right.replace(b"1", rng.choice(_NUMBERS)),
        right.replace(b'"EUR"', rng.choice(_NUMBERS)),
        _DEEP,
        b"null",
        b"",
        right.replace(b"}", b"," + right[1:-1] + b"}", 1) if len(right) > len(b"{}") else right,
        right.replace(b":", b": " + b" " * 5000, 1),
    )
    return rng.choice(ways)
