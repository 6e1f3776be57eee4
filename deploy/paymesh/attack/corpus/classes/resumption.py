"""Class 22: sessions and connections that outlive the identity they were made with.

A resumed session is not asked for a certificate again: CVE-2022-21654 (Envoy resumed sessions
although what it validates had changed), CVE-2025-23419 (nginx, from one server to another).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from paymesh.attack import wire
from paymesh.attack.corpus.calls import Call, Maker
from paymesh.attack.corpus.certificates import uri
from paymesh.attack.corpus.ground import LEDGER, Ground
from paymesh.attack.corpus.model import Attempt, Sent, Steps
from paymesh.attack.wire import tls13

TITLE = "session tickets, early data and old connections"

_TICKETS = (0, 1, 16, 32, 192, 1500, 16_000)
_LIVES_SECONDS = 2
_SESSION_TICKET = 35


def add(maker: Maker) -> None:
    """A call of payments, by who has no certificate, another's, or one that has expired."""
    ground, call = maker.ground, maker.calls.may_post
    hello = call.way.script.hello if call.way.script else tls13.Hello()
    early = wire.PREFACE + wire.settings({})
    nobody = call.way.changed(identity=None)
    for size in _TICKETS:
        psk = (b"t" * size, b"k" * 32)
        for modes in (b"\1", b"\0", b"\0\1"):
            name = f"ticket-{size}-mode-{modes.hex()}"
            offered = tls13.Hello(sni=hello.sni, psk=psk, psk_modes=modes)
            way = nobody.changed(script=tls13.Script(offered))
            maker.add(name, "a ticket that nobody gave", way, partial(_sent, call))
        offered = tls13.Hello(sni=hello.sni, psk=psk, early=True)
        maker.add(
            f"early-{size}",
            "early data under it",
            call.way,
            partial(_early, call, tls13.Hello(sni=hello.sni, psk=psk, early=True), early),
        )
    with_ticket = tls13.Script(tls13.Hello(psk=(b"t" * 192, bytes(32))))
    for name, identity in {
        "stranger": ground.identity("bank-link"),
        "expired": _identity(ground, ground.now - dt.timedelta(minutes=1)),
    }.items():
        way = call.way.changed(identity=identity, script=with_ticket)
        maker.add(
            f"ticket-{name}", "a ticket beside another certificate", way, partial(_sent, call)
        )
    for name, script in {
        "session-id": tls13.Hello(versions=(), session_id=b"s" * 32),
        "session-ticket": tls13.Hello(
            versions=(), extra=(tls13.extension(_SESSION_TICKET, b"t" * 192),)
        ),
        "early-without-ticket": tls13.Hello(early=True),
    }.items():
        way = nobody.changed(script=tls13.Script(script))
        maker.add(name, "as it was done before TLS 1.3", way, partial(_sent, call))
    _sessions(maker, call)
    maker.control(maker.calls.may_post, maker.calls.may_inside)
    psk = (b"t" * 192, b"k" * 32)
    ignored = call.way.changed(script=tls13.Script(tls13.Hello(sni=hello.sni, psk=psk)))
    maker.add(
        "control@ticket",
        "a ticket beside the right certificate: passed over",
        ignored,
        partial(_sent, call),
        entitled=True,
    )


def _sent(call: Call, trace: str) -> Attempt:
    return Sent(call.request(trace), shares=False)


def _early(call: Call, hello: tls13.Hello, opening: bytes, trace: str) -> Attempt:
    data = opening + call.request(trace).frames(1)

    def steps(_: wire.Http2) -> wire.Reply:
        script = tls13.Script(hello, early=data)
        with tls13.handshake(call.way.endpoint, None, script, 1.0) as connection:
            return wire.Http2(connection, opening=b"").wait([1], 0.5)[1]

    return Steps(repr(hello).encode() + data, steps)


def _identity(ground: Ground, end: dt.datetime) -> tls13.Identity:
    leaf = ground.certificate(uri(ground.mesh.spiffe_id("payments")), end=end)
    return tls13.Identity((leaf.signed(ground.material.authority),), ground.key)


def _sessions(maker: Maker, call: Call) -> None:
    """With OpenSSL's own memory of a session that was made while the certificate was good."""
    ground = maker.ground
    ports = {w.name: w.port for w in ground.mesh.services()}
    for name, (sni, alpn, port) in {
        "same": ("ledger.x", True, "ledger"),
        "other-name": ("payments.x", True, "ledger"),
        "no-name": (None, True, "ledger"),
        "no-alpn": ("ledger.x", False, "ledger"),
        "other-door": ("ledger.x", True, "payments"),
        "third-door": ("ledger.x", True, "bank-link"),
    }.items():
        endpoint = wire.Tcp(ground.mesh.address, ports[port] or 0)
        make = partial(_resumed, ground, endpoint, sni, alpn)
        maker.add(
            f"session-{name}",
            "resumed after the certificate's end",
            call.way,
            partial(_later, call, make, name),
        )
    for name, rpc in {"old": "ListBalances", "older": "ListEntries"}.items():
        other = Call(name, call.way, LEDGER + rpc, call.body)
        maker.add(
            f"{name}-connection",
            "opened before the end, for what was never granted",
            call.way,
            partial(_later, other, partial(_kept, ground, call), name),
        )


def _later(call: Call, make: Callable[[], wire.Connection], name: str, trace: str) -> Attempt:
    def steps(_: wire.Http2) -> wire.Reply:
        try:
            with make() as connection:
                return wire.Http2(connection).exchange(call.request(trace), 1.0)
        except OSError as error:
            return wire.Reply("closed", detail=type(error).__name__)

    return Steps(f"{name} {call.path}".encode(), steps)


def _soon(ground: Ground) -> tuple[tls13.Identity, float]:
    """An identity of payments that is good for two seconds, and when it is over."""
    end = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=_LIVES_SECONDS)
    return _identity(ground, end), end.timestamp()


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()) + 0.2)  # that it has passed is what is waited for


def _kept(ground: Ground, call: Call) -> wire.Connection:
    identity, end = _soon(ground)
    script = call.way.script or tls13.Script()
    connection = tls13.handshake(call.way.endpoint, identity, script)
    _wait_until(end)
    return connection


def _resumed(
    ground: Ground,
    endpoint: wire.Tcp,
    sni: str | None,
    alpn: bool,  # noqa: FBT001
) -> wire.Connection:
    identity, end = _soon(ground)
    pem = serialization.Encoding.PEM
    tls = wire.Tls(
        x509.load_der_x509_certificate(identity.chain[0]).public_bytes(pem),
        identity.key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        sni="ledger.x",
    )
    context = wire.context(tls)
    ledger = wire.Tcp(endpoint.host, ground.mesh.workloads["ledger"].port or 0)
    with context.wrap_socket(wire.open_stream(ledger, 3), server_hostname=tls.sni) as first:
        # A ticket comes with the first thing that the server has to say.
        first.settimeout(1)
        with contextlib.suppress(OSError):
            first.sendall(wire.PREFACE + wire.settings({}))
            first.recv(1)
        session = first.session
    _wait_until(end)
    if not alpn:
        context.set_alpn_protocols([])
    stream = wire.open_stream(endpoint, 3)
    return wire.Connection(context.wrap_socket(stream, server_hostname=sni, session=session))
