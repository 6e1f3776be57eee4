"""Class 6: the same header more than once.

CVE-2020-25017 and CVE-2026-26308 (Envoy compared the first of several values), CVE-2021-32777
(what ext_authz was shown of repeated headers): who takes the first and who takes the last
disagree about what was asked.
"""

from __future__ import annotations

from paymesh.attack.corpus.calls import Call, Change, Maker, each, first, plus, put

TITLE = "duplicate headers"


def add(maker: Maker) -> None:
    """Every header that decides something, with a harmless value before and behind."""
    calls = maker.calls
    for call, granted in (
        (calls.inside, calls.may_inside.path.encode()),
        (calls.public, calls.may_list.path.encode()),
    ):
        for name, change in _changes(call, granted).items():
            grpc = not name.startswith("content-type")
            maker.shape(name, "a header twice", change, call, grpc=grpc)
    _tokens(maker)
    maker.control(calls.may_inside, calls.may_public)
    maker.control(
        calls.may_inside, change=plus((b"x-note", b"a"), (b"x-note", b"b")), name="harmless"
    )


def _changes(call: Call, granted: bytes) -> dict[str, Change]:
    forbidden = call.path.encode()
    principal = b"spiffe://paymesh.internal/ns/paymesh/sa/payments"
    return {
        "path-granted-first": put(b":path", granted, forbidden),
        "path-granted-last": put(b":path", forbidden, granted),
        "path-at-end": plus((b":path", granted)),
        "path-at-beginning": first((b":path", granted)),
        "path-same": put(b":path", forbidden, forbidden),
        "method-get-first": put(b":method", b"GET", b"POST"),
        "method-get-last": put(b":method", b"POST", b"GET"),
        "method-same": put(b":method", b"POST", b"POST"),
        "scheme": put(b":scheme", b"https", b"http"),
        "authority": put(b":authority", call.way.authority.encode(), b"payments.paymesh.internal"),
        "host": plus((b"host", b"payments.paymesh.internal")),
        "hosts": plus((b"host", b"payments.paymesh.internal"), (b"host", b"localhost")),
        "content-type-json-first": put(b"content-type", b"application/json", b"application/grpc"),
        "content-type-json-last": put(b"content-type", b"application/grpc", b"application/json"),
        "content-type-same": put(b"content-type", b"application/grpc", b"application/grpc"),
        "te": put(b"te", b"trailers", b"gzip"),
        "encoding": plus((b"grpc-encoding", b"identity"), (b"grpc-encoding", b"gzip")),
        "encoding-identity-last": plus(
            (b"grpc-encoding", b"gzip"), (b"grpc-encoding", b"identity")
        ),
        "content-length": plus((b"content-length", b"5"), (b"content-length", b"50")),
        "client-cert": plus(
            (b"x-forwarded-client-cert", b"URI=" + principal),
            (b"x-forwarded-client-cert", b"URI=" + principal),
        ),
        "caller": plus((b"x-paymesh-caller", principal), (b"x-paymesh-caller", principal)),
        "roles": plus((b"x-paymesh-roles", b"customer"), (b"x-paymesh-roles", b"operator")),
        "request-id": plus((b"x-request-id", b"a"), (b"x-request-id", b"b")),
        "timeout": plus((b"grpc-timeout", b"1S"), (b"grpc-timeout", b"1H")),
        "expect": plus((b"expect", b"100-continue"), (b"expect", b"x")),
        "partial-body": plus((b"x-envoy-auth-partial-body", b"true")),
    }


def _tokens(maker: Maker) -> None:
    """Alice's token and one that says that she is an operator, which nobody signed."""
    ground, calls = maker.ground, maker.calls
    good = b"Bearer " + ground.token("alice").encode()
    head, _, rest = ground.token("olivia").partition(".")
    forged = f"Bearer {head}.{rest.partition('.')[0]}.".encode()
    other = b"Bearer " + ground.token("audrey").encode()[:-8]
    field = b"authorization"
    for name, values in {
        "good-forged": (good, forged),
        "forged-good": (forged, good),
        "good-cut": (good, other),
        "joined": (good + b", " + forged,),
        "joined-forged-first": (forged + b", " + good,),
        "three": (good, forged, good),
        "empty-first": (b"", forged),
        "basic-first": (b"Basic YTpi", forged),
    }.items():
        maker.shape(f"token-{name}", "two tokens", put(field, *values), calls.public)
        change = each(put(field, *values), put(b":path", calls.may_list.path.encode()))
        maker.shape(f"token-{name}", "two tokens past the gateway", change, calls.userless)
