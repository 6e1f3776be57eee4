"""Class 7: bytes in headers that are no text.

CVE-2019-9900 (Envoy passed NUL on), CVE-2023-27488 (bytes that are not UTF-8 made the request
to ext_authz invalid), CVE-2026-73552 (a regular expression failed open on bytes above 127).
"""

from __future__ import annotations

from paymesh.attack.corpus.calls import Maker, plus, put

TITLE = "non-UTF-8 and control bytes in headers"

_BYTES = {
    "nul": b"\0",
    "soh": b"\x01",
    "tab": b"\t",
    "lf": b"\n",
    "cr": b"\r",
    "us": b"\x1f",
    "del": b"\x7f",
    "high": b"\x80",
    "latin-1": b"\xe9",
    "overlong": b"\xc0\x80",
    "surrogate": b"\xed\xa0\x80",
    "cut": b"\xe2\x82",
    "ff": b"\xff",
    "bom": b"\xef\xbb\xbf",
    "zero-width": "\u200b".encode(),
    "right-to-left": "\u202e".encode(),
}


def add(maker: Maker) -> None:
    """Each of them in a path, a method, an authority, a content type, a token and elsewhere."""
    calls = maker.calls
    for name, byte in _BYTES.items():
        for call, granted in (
            (calls.inside, calls.may_inside.path.encode()),
            (calls.public, calls.may_list.path.encode()),
        ):
            forbidden = call.path.encode()
            places = {
                "path-end": put(b":path", forbidden + byte),
                "path-middle": put(b":path", forbidden[:-4] + byte + forbidden[-4:]),
                "granted-then": put(b":path", granted + byte + forbidden),
                "method": put(b":method", b"POST" + byte),
                "authority": put(b":authority", b"ledger" + byte),
                "content-type": put(b"content-type", b"application/grpc" + byte),
                "caller": plus((b"x-paymesh-caller" + byte, b"payments")),
                "value": plus((b"x-paymesh-caller", b"payments" + byte)),
            }
            for place, change in places.items():
                grpc = place not in {"content-type", "method"}
                maker.shape(f"{place}-{name}", f"{byte!r}", change, call, grpc=grpc)
        token = b"Bearer " + maker.ground.token("alice").encode()
        for place, value in {"token": token + byte, "scheme": token[:6] + byte + token[7:]}.items():
            change = put(b"authorization", value)
            maker.shape(f"{place}-{name}", f"{byte!r}", change, calls.anonymous, calls.userless)
    maker.control(calls.may_inside, calls.may_public)
    maker.control(calls.may_inside, change=plus((b"x-note", "héllo".encode())), name="utf-8")
