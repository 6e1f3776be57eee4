"""Class 1: the path, percent-encoded.

CVE-2021-29492 (Envoy) and CVE-2021-31920 (Istio): %2F and %5C were left as they are by the
proxy and decoded by the service, so that policy and service saw two paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from paymesh.attack.corpus.calls import Maker, path

TITLE = "percent-encodings of the path"


def add(maker: Maker) -> None:
    """Each piece of a forbidden path in each encoding, and a granted path that hides it."""
    calls = maker.calls
    for call, granted in (
        (calls.inside, calls.may_inside.path),
        (calls.public, calls.may_list.path),
    ):
        for name, value in {
            **dict(_pieces(call.path)),
            **dict(_hidden(call.path, granted)),
        }.items():
            maker.shape(name, value, path(value), call)
    maker.control(calls.may_inside, calls.may_public)


_ENCODINGS: dict[str, Callable[[int], str]] = {
    "lower": lambda byte: f"%{byte:02x}",
    "upper": lambda byte: f"%{byte:02X}",
    "twice": lambda byte: f"%25{byte:02x}",
    "thrice": lambda byte: f"%2525{byte:02x}",
    "unicode": lambda byte: f"%u00{byte:02x}",
    "entity": lambda byte: f"&#{byte};",
}


def _pieces(forbidden: str) -> Iterator[tuple[str, str]]:
    middle = forbidden.index("/", 1)
    dot = forbidden.index(".")
    places = {
        "first-slash": (0, 1),
        "middle-slash": (middle, middle + 1),
        "dot": (dot, dot + 1),
        "first-letter": (middle + 1, middle + 2),
        "method": (middle + 1, len(forbidden)),
    }
    for place, (begin, end) in places.items():
        for encoding, encode in _ENCODINGS.items():
            coded = "".join(encode(byte) for byte in forbidden[begin:end].encode())
            yield f"{place}-{encoding}", forbidden[:begin] + coded + forbidden[end:]


def _hidden(forbidden: str, granted: str) -> Iterator[tuple[str, str]]:
    for name, between in {
        "up-a-level": "/%2e%2e/%2e%2e",
        "up-with-slashes": "%2f..%2f..",
        "up-all-encoded": "%2f%2e%2e%2f%2e%2e",
        "backslashes": "%5c..%5c..",
        "query": "%3f",
        "fragment": "%23",
        "semicolon": "%3b",
        "zero": "%00",
        "line": "%0d%0a",
        "space": "%20",
    }.items():
        yield f"granted-{name}-forbidden", granted + between + forbidden
        yield f"forbidden-{name}", forbidden + between
    for name, ending in {
        "cut": "%",
        "cut-short": "%2",
        "no-hex": "%zz",
        "overlong": "%c0%af",
    }.items():
        yield f"ending-{name}", forbidden + ending
