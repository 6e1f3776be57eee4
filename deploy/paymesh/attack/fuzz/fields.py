"""Header fields of a request, and what is done to them."""

from __future__ import annotations

from collections.abc import Callable

from paymesh.attack import wire
from paymesh.attack.fuzz.draft import Draft
from paymesh.attack.fuzz.menu import Call
from paymesh.attack.wire import Field

Fields = list[Field]

_IDENTITY = "spiffe://paymesh.internal/ns/paymesh/sa/"
_AFTER = (b"/", b"?", b"#", b";", b"%00", b"%2e", b"/.", b"/..", b"?x=1")
_BEFORE = (b"/", b"//", b"/.", b"/./", b"/%2e%2e", b"/x/..", b"/%2f")
_SLASHES = (b"//", b"%2f", b"/./", b"/x/../", b"/%5c")
_WITHIN = (b"%", b" ", b"\x00", b"\t", b"\xff", b"\xc0\xaf", b"\r\n")
_TYPES = (b"application/grpc+json", b"application/json", b"x", b"")
_CALLERS = ("gateway", "payments", "ledger", "bank-link", "statements")


def request(draft: Draft, call: Call) -> Fields:
    """The fields of a right request of this caller, under a trace id of its own."""
    return list(wire.grpc_headers(call.rpc, draft.menu.authority, extra=sender(draft)))


def sender(draft: Draft) -> Fields:
    """Of whoever it is: a trace id of this request's own, and the user's token."""
    trace, span = (f"{draft.rng.getrandbits(bits) | 1:0{bits // 4}x}" for bits in (128, 64))
    found = [(b"traceparent", f"00-{trace}-{span}-01".encode())]
    if draft.menu.token_bytes:
        found.append((b"authorization", b"Bearer " + draft.menu.token))
    return found


def spoil(draft: Draft, fields: Fields) -> Fields:
    """The fields, changed in one to three ways."""
    ways = _CAREFUL if draft.careful else _WAYS
    for _ in range(draft.rng.choice((1, 1, 1, 2, 3))):
        fields = draft.rng.choice(ways)(draft, list(fields))
    return fields


def _path(draft: Draft, fields: Fields) -> Fields:
    """Another spelling of the path, or a path of two."""
    rng = draft.rng
    path = dict(fields).get(b":path") or b"/"
    other = rng.choice(draft.menu.allowed or draft.menu.forbidden).rpc.encode()
    slash = path.rfind(b"/")
    at = rng.randrange(1, len(path)) if len(path) > 1 else 0
    changed = [
        path + rng.choice(_AFTER),
        rng.choice(_BEFORE) + path,
        path.replace(b"/", rng.choice(_SLASHES), 1),
        path[:at] + b"%%%02x" % path[at] + path[at + 1 :],
        path.swapcase(),
        path[:slash] + other[other.rfind(b"/") :],
        other + b"/.." + path,
        other + b"/../.." + path,
        other + b"?" + path,
        other + b"#" + path,
        path + b"?" + other,
        path * 40,
    ]
    if not draft.careful:
        changed += [path[:at] + rng.choice(_WITHIN) + path[at:], b"", b"*", path + b"\x00"]
    chosen = rng.choice(changed)
    return [(n, chosen if n == b":path" else v) for n, v in fields]


def _twice(draft: Draft, fields: Fields) -> Fields:
    """A field again, with its own or with another's value, before or after the first."""
    name, value = draft.rng.choice(fields)
    if name == b":path" and draft.menu.allowed:
        value = draft.rng.choice(draft.menu.allowed).rpc.encode()
    again = (name, draft.rng.choice((value, value, b"")))
    fields.insert(draft.rng.randrange(len(fields) + 1), again)
    return fields


def _without(draft: Draft, fields: Fields) -> Fields:
    fields.pop(draft.rng.randrange(len(fields)))
    return fields


def _shuffled(draft: Draft, fields: Fields) -> Fields:
    draft.rng.shuffle(fields)
    return fields


def _forged(draft: Draft, fields: Fields) -> Fields:
    """What the mesh itself would say of a caller."""
    rng = draft.rng
    caller = rng.choice(_CALLERS)
    identity = f"{_IDENTITY}{caller}".encode()
    forged = rng.choice(
        (
            (b"x-paymesh-caller", identity),
            (b"x-paymesh-decision-id", b"0f022a55-0000-4000-8000-000000000000"),
            (b"x-paymesh-user", b"alice"),
            (b"x-paymesh-user-roles", b"operator"),
            (b"x-paymesh-tenant", b"acme"),
            (b"x-forwarded-client-cert", b"URI=" + identity),
            (b"x-envoy-original-path", b"/grpc.health.v1.Health/Check"),
            (b"x-envoy-decorator-operation", b"x"),
            (b"x-envoy-internal", b"true"),
            (b"x-forwarded-for", b"127.0.0.1"),
            (b"x-forwarded-proto", b"https"),
            (b"x-http-method-override", b"GET"),
            (b"x-claimed-workload", identity),
            (b"authorization", b"Bearer e30.e30."),
            (b"proxy-authorization", b"Bearer x"),
        )
    )
    name = forged[0]
    if not draft.careful:
        name = rng.choice((name, name, name.upper(), name.replace(b"-", b"_")))
    at = len(fields) if draft.careful else rng.randrange(len(fields) + 1)
    fields.insert(at, (name, forged[1]))
    return fields


def _special(draft: Draft, fields: Fields) -> Fields:
    """Fields that change what a message is."""
    rng = draft.rng
    added = rng.choice(
        (
            (b"content-length", rng.choice((b"0", b"1", b"-1", b"99999999999", b"5, 5", b"0x5"))),
            (b"transfer-encoding", rng.choice((b"chunked", b"identity", b"gzip, chunked"))),
            (b"connection", rng.choice((b"close", b"keep-alive, authorization", b"upgrade"))),
            (b"upgrade", b"h2c"),
            (b"te", rng.choice((b"gzip", b"trailers, chunked", b""))),
            (b"expect", b"100-continue"),
            (b"host", rng.choice((b"ledger", b"", b"x@y", b"a b"))),
            (b":authority", rng.choice((b"ledger.paymesh.internal", b"", b"a/b", b"\x00"))),
            (b":protocol", rng.choice((b"websocket", b"connect-udp", b""))),
            (b":scheme", rng.choice((b"http", b"", b"ftp", b"https "))),
            (b":status", b"200"),
            (b":unknown", b"x"),
        )
    )
    if rng.randrange(2) and any(name == added[0] for name, _ in fields):
        return [added if name == added[0] else (name, value) for name, value in fields]
    fields.insert(rng.randrange(len(fields) + 1), added)
    return fields


def _grpc(draft: Draft, fields: Fields) -> Fields:
    """Fields that gRPC gives a meaning, with values that it gives none."""
    rng = draft.rng
    added = rng.choice(
        (
            (b"grpc-encoding", rng.choice((b"gzip", b"identity", b"deflate", b"x"))),
            (b"grpc-accept-encoding", b"gzip"),
            (b"grpc-timeout", rng.choice((b"0n", b"99999999H", b"-1S", b"1", b"1n", b"1m"))),
            (b"content-type", rng.choice(_TYPES)),
            (b"grpc-previous-rpc-attempts", b"1"),
            (b"grpc-message-type", b"x"),
            (b"grpc-tags-bin", rng.choice((b"AAA", b"!", b""))),
            (b"grpc-trace-bin", b"AAA="),
            (b"traceparent", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00"),
            (b"cookie", b"a=b"),
            (b"accept-encoding", b"gzip"),
        )
    )
    kept = [pair for pair in fields if pair[0] != added[0]]
    return [*(kept if rng.randrange(2) else fields), added]


def _method(draft: Draft, fields: Fields) -> Fields:
    methods = (b"GET", b"CONNECT", b"PUT", b"post", b"", b"POST ", b"PRI", b"OPTIONS", b"\x00")
    chosen = draft.rng.choice(methods)
    return [(n, chosen if n == b":method" else v) for n, v in fields]


def _bytes(draft: Draft, fields: Fields) -> Fields:
    """Characters that must not be there, in a name or a value."""
    rng = draft.rng
    at = rng.randrange(len(fields))
    name, value = fields[at]
    odd = rng.choice((b"\x00", b"\r\n", b"\n", b" ", b"\t", b"\x7f", b"\xff", b":", b"\r\nx: y"))
    if rng.randrange(2):
        cut = rng.randrange(len(name) + 1)
        name = name[:cut] + odd + name[cut:]
    else:
        cut = rng.randrange(len(value) + 1)
        value = value[:cut] + odd + value[cut:]
    fields[at] = (name, value)
    return fields


def _much(draft: Draft, fields: Fields) -> Fields:
    """Too many, or too large."""
    rng = draft.rng
    if rng.randrange(2):
        return fields + [(b"x-%d" % n, b"y") for n in range(rng.choice((40, 60, 70, 200)))]
    return [*fields, (b"x-large", b"y" * rng.choice((4000, 15000, 17000, 60000)))]


def _name(draft: Draft, fields: Fields) -> Fields:
    at = draft.rng.randrange(len(fields))
    name, value = fields[at]
    changed = draft.rng.choice((name.upper(), b"", name + b" ", b" " + name, b":" + name))
    fields[at] = (changed, value)
    return fields


_WAYS: tuple[Callable[[Draft, Fields], Fields], ...] = (
    *(_path, _path, _path),
    *(_forged, _forged, _special, _special, _grpc),
    *(_twice, _without, _shuffled, _method, _bytes, _much, _name),
)
# What HTTP/2 has nothing against.
_CAREFUL = (_path, _path, _path, _forged, _forged, _grpc)
