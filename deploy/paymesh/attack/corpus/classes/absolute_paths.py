"""Class 5: a path without its slash, with one too many, absolute, empty or `*`.

CVE-2026-33186 (gRPC-Go served `Service/Method` while its authorisation knew only
`/Service/Method`), CVE-2026-26205 (OPA's Envoy plugin).
"""

from __future__ import annotations

from paymesh.attack.corpus.calls import Maker, path, without

TITLE = "missing and extra slashes, absolute form, empty, *"


def add(maker: Maker) -> None:
    """Each form of a forbidden path."""
    calls = maker.calls
    for call, granted in (
        (calls.inside, calls.may_inside.path),
        (calls.public, calls.may_list.path),
        (calls.way_out, calls.way_out.path),
    ):
        service, method = call.path[1:].split("/")
        host = call.way.authority
        for name, value in {
            "no-slash": f"{service}/{method}",
            "slash-at-end": f"/{service}/{method}/",
            "slashes-at-end": f"/{service}/{method}//",
            "no-slash-slash-at-end": f"{service}/{method}/",
            "https": f"https://{host}/{service}/{method}",
            "http": f"http://{host}/{service}/{method}",
            "https-upper": f"HTTPS://{host}/{service}/{method}",
            "https-user": f"https://x@{host}/{service}/{method}",
            "https-port": f"https://{host}:443/{service}/{method}",
            "https-empty": f"https:///{service}/{method}",
            "https-one-slash": f"https:/{service}/{method}",
            "no-scheme": f"//{host}/{service}/{method}",
            "host-only": f"{host}/{service}/{method}",
            "unix": f"unix:///{service}/{method}",
            "javascript": f"javascript:/{service}/{method}",
            "empty": "",
            "slash": "/",
            "asterisk": "*",
            "asterisk-then": f"*/{service}/{method}",
            "service-only": f"/{service}",
            "service-slash": f"/{service}/",
            "method-only": f"/{method}",
            "method-first": f"/{method}/{service}",
            "dot-for-slash": f"/{service}.{method}",
            "package-as-path": "/" + service.replace(".", "/") + f"/{method}",
            "lower": call.path.lower(),
            "upper": call.path.upper(),
            "method-lower": f"/{service}/{method[0].lower()}{method[1:]}",
            "short-service": f"/{service.rpartition('.')[2]}/{method}",
            "dot-first": f"/.{service}/{method}",
            "type-url": f"/type.googleapis.com/{service}/{method}",
            "twice": call.path + call.path,
            "granted-first": granted + call.path,
            "comma": f"{granted},{call.path}",
            "long": "/" + "x" * 8000 + call.path,
        }.items():
            maker.shape(name, value[:60], path(value), call)
        maker.shape("none", "no path at all", without(b":path"), call)
    maker.control(calls.may_inside, calls.may_public)
