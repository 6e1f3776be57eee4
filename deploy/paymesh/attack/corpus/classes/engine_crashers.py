"""Class 24: what could make the policy engine fail, in the hope that failing is letting pass.

CVE-2026-48042 (Envoy, deeply nested JSON), CVE-2024-24786 (Go's protojson ran for ever),
CVE-2023-27488 (Envoy: what could not be sent to ext_authz), CVE-2026-26205 (OPA's plugin).
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from paymesh.attack import wire
from paymesh.attack.corpus import protobuf as pb
from paymesh.attack.corpus.calls import Call, Change, Maker, each, path, plus, put, traceparent
from paymesh.attack.corpus.ground import Ground
from paymesh.attack.corpus.jws import encoded
from paymesh.attack.corpus.model import Attempt, Http1, Sent

TITLE = "inputs that could crash the policy engine"

_DEEP = 9000


def add(maker: Maker) -> None:
    """Odd messages, odd bodies of other types, odd tokens, odd headers; JSON at the gateway."""
    calls, ground = maker.calls, maker.ground
    for name, message in _messages().items():
        maker.add(
            f"message-{name}@inside",
            "a message",
            calls.inside.way,
            partial(_body, calls.inside, "application/grpc", wire.message(message)),
        )
        maker.add(
            f"message-{name}@over",
            "a message",
            calls.over.way,
            partial(_behind, calls.over, message),
        )
    for name, (kind, body) in _bodies().items():
        maker.add(
            f"body-{name}",
            "a body of another type",
            calls.inside.way,
            partial(_body, calls.inside, kind, body),
            grpc=kind == "application/grpc" or kind.startswith("application/grpc+"),
        )
    for name, token in _tokens(ground).items():
        value = b"Bearer " + token.encode()
        maker.shape(
            f"token-{name}",
            "a token",
            put(b"authorization", value),
            calls.anonymous,
            calls.userless,
        )
    for name, change in _headers(calls.inside.path).items():
        maker.shape(f"header-{name}", "a header", change, calls.inside, calls.userless)
    for name, body in _documents().items():
        maker.add(
            f"json-{name}",
            "JSON at the gateway",
            ground.public_http1(),
            partial(_json, ground, body),
            grpc=False,
        )
    maker.control(calls.may_inside, calls.may_public, calls.may_post)


def _body(call: Call, kind: str, body: bytes, trace: str) -> Attempt:
    return Sent(wire.Request(put(b"content-type", kind.encode())(call.fields(trace)), body))


def _behind(call: Call, message: bytes, trace: str) -> Attempt:
    """Behind a message that is refused for its amount as soon as it can be read."""
    return Sent(wire.Request(call.fields(trace), wire.message(call.body(trace) + message)))


def _messages() -> dict[str, bytes]:
    leg = pb.text(2, pb.text(1, "a") + pb.text(2, pb.integer(2, 7)))
    return {
        "groups-deep": pb.tag(15, pb.GROUP) * _DEEP + pb.tag(15, pb.END_GROUP) * _DEEP,
        "groups-open": pb.tag(15, pb.GROUP) * _DEEP,
        "groups-closed": pb.tag(15, pb.END_GROUP) * 10,
        "legs-thousands": leg * 500,
        "legs-empty": pb.text(2, b"") * 2000,
        "nested-bytes": _nested(200),
        "varint-endless": b"\x08" + b"\xff" * 50,
        "text-not-utf-8": pb.text(3, b"\xff\xfe\xed\xa0\x80"),
        "text-nul": pb.text(3, b"\0" * 1000),
        "text-long": pb.text(3, b"x" * 50_000),
        "text-template": pb.text(3, "${jndi:ldap://x}{{7*7}}%s%n"),
        "any": pb.text(
            10, pb.text(1, "type.googleapis.com/google.protobuf.Any") + pb.text(2, b"\x0a")
        ),
        "any-of-any": pb.text(10, _any(100)),
        "struct-nan": pb.text(11, pb.tag(2, pb.FIXED64) + b"\0\0\0\0\0\0\xf8\x7f"),
        "fields-unknown": b"".join(pb.integer(number, 1) for number in range(100, 3000)),
        "field-largest": pb.integer((1 << 29) - 1, 1),
        "units-smallest": pb.text(2, pb.text(2, pb.integer(2, -(1 << 63)))),
        "random": bytes((number * 73 + 41) % 256 for number in range(4000)),
        "nothing-but-ff": b"\xff" * 1000,
    }


def _nested(depth: int) -> bytes:
    message = b""
    for _ in range(depth):
        message = pb.text(2, message)
    return message


def _any(depth: int) -> bytes:
    message = b""
    for _ in range(depth):
        message = pb.text(1, "type.googleapis.com/google.protobuf.Any") + pb.text(2, message)
    return message


def _bodies() -> dict[str, tuple[str, bytes]]:
    """The decision point can read these kinds too."""
    json_, form = "application/json", "application/x-www-form-urlencoded"
    multipart = "multipart/form-data; boundary=b"
    as_json = b"\r\nContent-Type: application/json\r\n\r\n" + b"[" * 5000
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'
    return {
        "json-deep": (json_, b"[" * _DEEP),
        "json-deep-closed": (json_, b"[" * _DEEP + b"]" * _DEEP),
        "json-deep-objects": (json_, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP),
        "json-number": (json_, b'{"a":1e999999999}'),
        "json-number-long": (json_, b'{"a":' + b"9" * 20_000 + b"}"),
        "json-number-small": (json_, b'{"a":1e-999999999}'),
        "json-nan": (json_, b'{"a":NaN,"b":Infinity,"c":-Infinity}'),
        "json-twice": (json_, b'{"a":1,"a":2}'),
        "json-surrogate": (json_, b'{"a":"\\ud800"}'),
        "json-not-utf-8": (json_, b'{"a":"\xff"}'),
        "json-two": (json_, b"{} {}"),
        "json-bom": (json_, b"\xef\xbb\xbf{}"),
        "json-keys": (json_, json.dumps({str(n): n for n in range(1000)}).encode()),
        "json-grpc": ("application/grpc+json", wire.message(b'{"a":1}')),
        "json-and-grpc": ("application/json,application/grpc", b"{}"),
        "form-keys": (form, b"&".join(b"k%d=v" % number for number in range(1000))),
        "form-escapes": (form, b"%zz=%"),
        "form-semicolons": (form, b"a=1;b=2;" * 1000),
        "multipart-parts": (multipart, part * 200 + b"--b--\r\n"),
        "multipart-open": (multipart, part * 10),
        "multipart-no-boundary": ("multipart/form-data", part),
        "multipart-bad-type": ("multipart/form-data; =", part),
        "multipart-json": (multipart, part.replace(b"\r\n\r\nx", as_json) + b"--b--\r\n"),
        "text": ("text/plain", b"x" * 60_000),
        "type-long": ("application/grpc+" + "x" * 4000, b""),
        "type-many": ("application/grpc;" * 500, b""),
        "xml": ("application/xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        "web-text": ("application/grpc-web-text", b"AAAAAAA="),
    }  # fmt: skip


def _tokens(ground: Ground) -> dict[str, str]:
    signed = ground.signed
    claims = ground.claims
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    odd: dict[str, Any] = {
        "exp-huge": claims("alice", exp=10**300),
        "exp-float": claims("alice", exp=1e308),
        "exp-small": claims("alice", exp=-(10**300)),
        "iat-huge": claims("alice", iat=10**300),
        "nbf-huge": claims("alice", nbf=10**400),
        "nbf-text": claims("alice", nbf="x"),
        "iss-number": claims("alice", iss=7),
        "iss-object": claims("alice", iss={"a": 1}),
        "aud-deep": claims("alice", aud=deep),
        "aud-numbers": claims("alice", aud=[1, None, "paymesh"]),
        "roles-deep": claims("alice", roles=deep),
        "roles-mixed": claims("alice", roles=[None, 1, {"a": []}]),
        "sub-number": claims("alice", sub=1),
        "sub-surrogate": claims("alice", sub="\ud800"),
        "claims-many": claims("alice", **{f"c{number}": number for number in range(300)}),
        "claims-deep": claims("alice", extra=deep, roles="x"),
        "claims-empty": {},
    }
    # Each has something wrong beside what is odd about it.
    tokens = {name: signed({**value, "tenant": "ACME"}) for name, value in odd.items()}
    header, payload, signature = ground.token("alice").split(".")
    heads: dict[str, bytes] = {
        "head-number": b"7",
        "head-null": b"null",
        "head-array": b"[]",
        "head-deep": b"[" * 3000 + b"]" * 3000,
        "head-alg-number": b'{"alg":7}',
        "head-alg-object": b'{"alg":{}}',
        "head-kid-object": b'{"alg":"ES256","kid":{}}',
        "head-cty": b'{"alg":"ES256","cty":"JWT"}',
        "head-cty-number": b'{"alg":"ES256","cty":7}',
        "head-crit-number": b'{"alg":"ES256","crit":7}',
        "head-enc": b'{"alg":"RSA-OAEP","enc":"A256GCM"}',
        "head-zip": b'{"alg":"ES256","zip":"DEF"}',
        "head-number-huge": b'{"alg":"ES256","x":1e999999}',
        "head-cut": b'{"alg":"ES256"',
    }
    for name, head in heads.items():
        tokens[name] = f"{encoded(head)}.{payload}.{signature}"
    for name, body in {
        "body-number": b"7",
        "body-null": b"null",
        "body-text": b'"x"',
        "body-deep": b"[" * 3000 + b"]" * 3000,
        "body-exp-huge": b'{"exp":1e999999999}',
        "body-exp-digits": b'{"exp":' + b"9" * 5000 + b"}",
        "body-twice": b'{"iss":1,"iss":2}',
        "body-token": f'"{ground.token("alice")}"'.encode(),
    }.items():
        tokens[name] = f"{header}.{encoded(body)}.{signature}"
        tokens[f"{name}-cty"] = f"{encoded(heads['head-cty'])}.{encoded(body)}.{signature}"
    return tokens


def _headers(rpc: str) -> dict[str, Change]:
    many = plus(*((b"x-h%d" % number, b"v" * 200) for number in range(50)))
    return {
        "many": many,
        "same": plus(*[(b"x-note", b"v" * 100)] * 50),
        "json": plus((b"x-note", b"[" * 8000)),
        "cookies": plus((b"cookie", b"; ".join(b"a%d=b" % number for number in range(800)))),
        "query-keys": path(rpc + "?" + "&".join(f"k{n}=v" for n in range(500))),
        "query-escapes": path(rpc + "?%zz=%&a=%0"),
        "query-semicolon": path(rpc + "?a;b"),
        "path-slashes": path("/" * 8000),
        "path-escapes": path(rpc + "%" * 100),
        "path-parts": path("/a" * 4000),
        "traceparent": put(b"traceparent", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"),
        "timeout-zero": plus((b"grpc-timeout", b"0n")),
        "timeout-huge": plus((b"grpc-timeout", b"99999999H")),
        "timeout-odd": plus((b"grpc-timeout", b"-1S")),
        "length-text": plus((b"x-envoy-auth-partial-body", b"maybe")),
        "encoding-odd": plus((b"grpc-encoding", b"{}")),
        "both": each(many, path(rpc + "?" + "a" * 4000)),
    }


def _documents() -> dict[str, bytes]:
    amount = b'{"amount":{"currencyCode":"EUR","minorUnits":%s},"paymentMethodToken":"tok_visa"}'
    return {
        "deep": b'{"a":' * _DEEP,
        "deep-closed": b'{"amount":' * 2000 + b"1" + b"}" * 2000,
        "array-deep": b"[" * 20_000 + b"]" * 20_000,
        "number-huge": amount % b"1e400",
        "number-long": amount % (b"9" * 5000),
        "number-float": amount % b"1.5",
        "number-text": amount % b'"9999999999999999999999"',
        "number-nan": amount % b"NaN",
        "number-minus-zero": amount % b"-0",
        "twice": b'{"amount":{},"amount":{"minorUnits":"4000000000"},"amount":null}',
        "not-utf-8": b'{"description":"\xff"}',
        "surrogate": b'{"description":"\\ud800"}',
        "type": b'{"@type":"type.googleapis.com/google.protobuf.Any"}',
        "unknown": b'{"nothing":{"of":{"the":"kind"}}}',
        "null": b"null",
        "array": b"[]",
        "empty": b"",
        "bom": b"\xef\xbb\xbf{}",
        "comment": b"{/* */}",
        "trailing": b'{"amount":{}},{}',
    }


def _json(ground: Ground, body: bytes, trace: str) -> Attempt:
    name, value = traceparent(trace)
    head = (
        b"POST /v1/payments HTTP/1.1",
        b"host: localhost",
        b"content-type: application/json",
        b"authorization: Bearer " + ground.token("alice").encode(),
        name + b": " + value,
        b"content-length: %d" % len(body),
    )
    return Http1(b"\r\n".join(head) + b"\r\n\r\n" + body)
