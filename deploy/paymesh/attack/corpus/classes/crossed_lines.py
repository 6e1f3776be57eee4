"""Class 12: other ports, server names and protocols in the handshake.

CVE-2020-8660 (Envoy's TLS inspector did not know clients of TLS 1.3 alone, so that filter
chains were passed by), CVE-2026-47220 (a formatter of the server name that crashed).
"""

from __future__ import annotations

import dataclasses

from paymesh.attack import wire
from paymesh.attack.corpus.calls import Call, Maker
from paymesh.attack.corpus.model import Way
from paymesh.attack.wire import tls13

TITLE = "other ports, SNI and ALPN"


def add(maker: Maker) -> None:
    """Names and protocols by a caller without the grant and by one without an edge; doors."""
    ground, calls = maker.ground, maker.calls
    stranger = dataclasses.replace(
        calls.may_post, name="stranger", way=ground.straight("bank-link", "ledger")
    )
    domain = ground.mesh.trust_domain
    for name, names in _names(domain).items():
        for call in (calls.inside, stranger):
            _handshake(maker, f"sni-{name}", call, tls13.Hello(sni=names))
    for name, alpn in _PROTOCOLS.items():
        for call in (calls.inside, stranger):
            _handshake(maker, f"alpn-{name}", call, tls13.Hello(alpn=alpn))
    for name, way in _doors(maker).items():
        call = dataclasses.replace(calls.may_post, name="door", way=way)
        maker.shape(name, "a door that leads elsewhere", list, call, shares=False)
    maker.control(calls.may_inside, calls.may_public)
    for name, names in {"none": (), "other": (b"anything.example",)}.items():
        maker.control(_with(calls.may_inside, tls13.Hello(sni=names)), name=f"sni-{name}")


def _names(domain: str) -> dict[str, tuple[bytes, ...]]:
    ledger = f"ledger.{domain}".encode()
    return {
        "payments": (f"payments.{domain}".encode(),),
        "gateway": (f"gateway.{domain}".encode(),),
        "upper": (ledger.upper(),),
        "dot": (ledger + b".",),
        "spiffe": (f"spiffe://{domain}/ns/paymesh/sa/payments".encode(),),
        "empty": (b"",),
        "ip": (b"127.0.0.1",),
        "nul": (ledger + b"\0.example",),
        "space": (ledger + b" ",),
        "line": (ledger + b"\r\nx: y",),
        "wildcard": (b"*",),
        "high": (b"\xff\xfe",),
        "long": (b"a" * 255,),
        "longer": (b"a." * 4000,),
        "two": (ledger, f"payments.{domain}".encode()),
        "format": (b"%REQUESTED_SERVER_NAME%%s%n",),
    }


_PROTOCOLS: dict[str, tuple[bytes, ...]] = {
    "none": (),
    "http-1": (b"http/1.1",),
    "http-1-first": (b"http/1.1", b"h2"),
    "h2-twice": (b"h2", b"h2"),
    "h2c": (b"h2c",),
    "h3": (b"h3",),
    "upper": (b"H2",),
    "space": (b"h2 ",),
    "nul": (b"h2\0",),
    "prefix": (b"h",),
    "longer": (b"h2x",),
    "grpc": (b"grpc-exp", b"h2"),
    "istio": (b"istio", b"istio-peer-exchange"),
    "spdy": (b"spdy/3.1",),
    "empty": (b"",),
    "long": (b"a" * 255, b"h2"),
    "many": tuple(b"p%d" % number for number in range(500)),
}


def _with(call: Call, hello: tls13.Hello) -> Call:
    return dataclasses.replace(call, way=call.way.changed(script=tls13.Script(hello)))


def _handshake(maker: Maker, name: str, call: Call, hello: tls13.Hello) -> None:
    maker.shape(name, "another handshake", list, _with(call, hello), shares=False)


def _doors(maker: Maker) -> dict[str, Way]:
    """Every other port of the mesh, with the SVID of payments and without one, in plaintext."""
    ground = maker.ground
    mesh = ground.mesh
    ports = {name: workload.port for name, workload in mesh.workloads.items()}
    ports |= {f"{name}-pdp": workload.pdp_port for name, workload in mesh.workloads.items()}
    ports |= dict(mesh.ports)
    del ports["ledger"]
    payments = ground.straight("payments", "ledger")
    doors = {}
    for name, port in ports.items():
        if port is None:
            continue
        endpoint = wire.Tcp(mesh.address, port)
        doors[f"port-{name}-svid"] = payments.changed(endpoint=endpoint)
        doors[f"port-{name}-plain"] = payments.changed(endpoint=endpoint, script=None)
    return doors
