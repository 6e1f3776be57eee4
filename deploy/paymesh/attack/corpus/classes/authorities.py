"""Class 11: other names in :authority and Host.

CVE-2021-39155: Istio compared host names with case and routed without. Nothing in this mesh
decides by a host name, and what a caller writes there goes no further than its own call.
"""

from __future__ import annotations

from paymesh.attack.corpus.calls import Maker, each, plus, put, without

TITLE = "variants of Host and :authority"


def add(maker: Maker) -> None:
    """Each name at a callee, at the gateway and at a workload's way out."""
    calls = maker.calls
    domain = maker.ground.mesh.trust_domain
    values = {
        "payments": f"payments.{domain}",
        "ledger": f"ledger.{domain}",
        "upper": f"LEDGER.{domain.upper()}",
        "mixed": f"Ledger.{domain}",
        "dot-at-end": f"ledger.{domain}.",
        "port": f"ledger.{domain}:443",
        "port-zero": f"ledger.{domain}:0",
        "port-words": f"ledger.{domain}:https",
        "two-ports": f"ledger.{domain}:1:2",
        "user": f"payments@ledger.{domain}",
        "user-password": f"a:b@ledger.{domain}",
        "path": f"ledger.{domain}/x",
        "query": f"ledger.{domain}?x",
        "fragment": f"ledger.{domain}#x",
        "comma": f"ledger.{domain},payments.{domain}",
        "space": f"ledger.{domain} payments",
        "ipv4": "127.0.0.1",
        "ipv6": "[::1]:18502",
        "ipv6-open": "[::1",
        "localhost": "localhost",
        "spiffe": maker.ground.mesh.spiffe_id("payments"),
        "socket": "unix:app.sock",
        "encoded": "ledger%2e" + domain,
        "underscore": f"ledger_{domain}",
        "unicode": "l\u00e9dger.example",
        "asterisk": "*",
        "empty": "",
        "long": "a" * 4000,
        "banks": "api.banks.test",
    }
    for name, value in values.items():
        raw = value.encode()
        maker.shape(
            name, value[:40], put(b":authority", raw), calls.inside, calls.public, calls.way_out
        )
        host_only = each(without(b":authority"), plus((b"host", raw)))
        maker.shape(f"host-{name}", f"Host alone: {value[:40]}", host_only, calls.inside)
        both = plus((b"host", raw))
        maker.shape(f"both-{name}", f"Host beside: {value[:40]}", both, calls.public)
    maker.shape(
        "none", "no name at all", without(b":authority"), calls.inside, calls.public, calls.way_out
    )
    maker.control(calls.may_inside, calls.may_public)
    any_name = put(b":authority", b"anything.example")
    maker.control(calls.may_inside, calls.may_public, change=any_name, name="any-name")
