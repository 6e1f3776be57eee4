"""Class 19: one URI in the certificate that only looks like the right one.

CVE-2026-47778 and CVE-2025-66220 (Envoy read a name up to its NUL), CVE-2009-2408 (so did NSS).
The SPIFFE ID has to be the very bytes. Signed by the mesh's own authority.
"""

from __future__ import annotations

from paymesh.attack.corpus.calls import Maker
from paymesh.attack.corpus.certificates import uri
from paymesh.attack.corpus.classes import chains

TITLE = "spellings of the SPIFFE ID in a certificate"


def add(maker: Maker) -> None:
    """Each spelling of the ID of payments, which may post to the ledger."""
    right = maker.ground.mesh.spiffe_id("payments")
    for name, value in spellings(right).items():
        chains.attempt(maker, name, repr(value)[:60], maker.ground.certificate(uri(value)))
    chains.control(maker)


def spellings(right: str) -> dict[str, bytes]:
    """Everything that could be taken for it."""
    texts = _ends(right) | _parts(right) | _look_alikes(right)
    raw = {name: text.encode() for name, text in texts.items()}
    whole = right.encode()
    return raw | {
        "nul-at-end": whole + b"\0",
        "nul-then": whole + b"\0.example",
        "nul-first": b"\0" + whole,
        "nul-middle": whole.replace(b"/sa/", b"/sa\0/"),
        "nul-before": b"spiffe://elsewhere.example/x\0" + whole,
        "high-byte": whole + b"\xff",
        "overlong-slash": whole.replace(b"/", b"\xc0\xaf"),
        "utf-16": right.encode("utf-16-be"),
    }


def _ends(right: str) -> dict[str, str]:
    """More, less or other characters."""
    return {
        "dot-at-end": right + ".",
        "slash-at-end": right + "/",
        "slashes-at-end": right + "//",
        "space-at-end": right + " ",
        "space-first": " " + right,
        "newline-at-end": right + "\n",
        "tab-at-end": right + "\t",
        "upper": right.upper(),
        "scheme-upper": right.replace("spiffe", "SPIFFE"),
        "scheme-mixed": right.replace("spiffe", "Spiffe"),
    }


def _parts(right: str) -> dict[str, str]:
    """Its parts in other ways."""
    scheme, rest = right.split("://")
    domain, _, path = rest.partition("/")
    return {
        "domain-upper": f"{scheme}://{domain.upper()}/{path}",
        "path-upper": f"{scheme}://{domain}/{path.upper()}",
        "workload-upper": right.replace("payments", "Payments"),
        "workload-percent": right.replace("payments", "p%61yments"),
        "slash-percent": right.replace("/sa/", "%2fsa%2f"),
        "whole-percent": right.replace("/", "%2F"),
        "dot-segments": right.replace("/sa/", "/x/../sa/"),
        "dot-segment": right.replace("/sa/", "/./sa/"),
        "double-slash": right.replace("/sa/", "//sa/"),
        "backslashes": right.replace("/", "\\"),
        "port": f"{scheme}://{domain}:443/{path}",
        "user": f"{scheme}://payments@{domain}/{path}",
        "query": right + "?x",
        "fragment": right + "#x",
        "parameter": right + ";x",
        "domain-dot": f"{scheme}://{domain}./{path}",
        "domain-sub": f"{scheme}://x.{domain}/{path}",
        "domain-longer": f"{scheme}://{domain}x/{path}",
        "domain-shorter": f"{scheme}://{domain[:-1]}/{path}",
        "no-scheme": f"//{domain}/{path}",
        "https": f"https://{domain}/{path}",
        "one-slash": f"{scheme}:/{domain}/{path}",
        "path-only": f"/{path}",
        "longer": right + "x",
        "shorter": right[:-1],
        "deeper": right + "/payments",
        "other-first": right.replace("/ns/", "/x/ns/"),
        "twice": right + right,
        "comma": f"{right},{right}",
    }


def _look_alikes(right: str) -> dict[str, str]:
    """Patterns, and what people cannot tell from it."""
    scheme, rest = right.split("://")
    domain, _, path = rest.partition("/")
    return {
        "wildcard": right.replace("payments", "*"),
        "wildcard-all": f"{scheme}://{domain}/*",
        "wildcard-domain": f"{scheme}://*/{path}",
        "regex": right.replace("payments", ".*"),
        "empty": "",
        "cyrillic": right.replace("a", "\u0430"),
        "fullwidth": right.replace("/sa/", "\uff0fsa\uff0f"),
        "zero-width": right + "\u200b",
        "long-s": right.replace("s", "\u017f"),
        "combining": right + "\u0301",
        "bom": "\ufeff" + right,
    }
