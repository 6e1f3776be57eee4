"""What is refused, layer by layer, and the proof that nothing ran."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from paymesh import dial, users
from paymesh.demo.session import TENANT, Session, outcome
from paymesh.runtime import control

_STEP = "refused"
_BALANCES = {"legal_entity": TENANT}


def attempt_all(session: Session) -> None:
    """Every attempt is made against a mesh that would answer a permitted caller."""
    _attempt(
        session,
        _no_certificate,
        _foreign_trust_domain,
        _wrong_workload,
        _tampered_token,
        _policy_engine_stopped,
    )


def attempt_at_gateway(session: Session) -> None:
    """What can be tried from where end users are: the gateway is all that they can reach."""
    _attempt(session, _no_token, _tampered_token, _expired_token, _another_tenant)


def _attempt(session: Session, *attempts: Callable[[Session], None]) -> None:
    before = session.balances()
    for attempt in attempts:
        attempt(session)
    after = session.balances()
    session.report(
        _STEP,
        "and nothing was posted meanwhile",
        f"{sum(account['entries'] for account in after.values())} entries before and after",
        expected=before == after,
    )


def _refused_in_handshake(session: Session, what: str, channel: grpc.Channel) -> None:
    reply = session.send(channel, "ledger/ListBalances", _BALANCES, timeout_seconds=5)
    session.report(
        _STEP,
        what,
        "connection refused in the TLS handshake"
        if reply.code == "UNAVAILABLE"
        else outcome(reply),
        expected=reply.code == "UNAVAILABLE" and reply.reason is None,
    )


def _no_certificate(session: Session) -> None:
    bundle = dial.fetch_svid(session.paths, session.mesh, "statements").bundle
    with dial.without_certificate(session.mesh, "ledger", bundle) as channel:
        _refused_in_handshake(session, "no client certificate", channel)


def _foreign_trust_domain(session: Session) -> None:
    genuine = dial.fetch_svid(session.paths, session.mesh, "statements")
    foreign = forge(genuine, "spiffe://elsewhere.example/ns/paymesh/sa/payments")
    with dial.direct(session.mesh, "ledger", foreign) as channel:
        _refused_in_handshake(session, "foreign trust domain, same path as payments", channel)


def _wrong_workload(session: Session) -> None:
    with dial.workload(
        session.paths, session.mesh, "bank-link", "paymesh.ledger.v1.LedgerService"
    ) as channel:
        reply = session.send(channel, "ledger/ListBalances", _BALANCES)
    session.report(
        _STEP,
        "bank-link calls the ledger through its sidecar",
        outcome(reply),
        expected=reply.reason == "NO_ROUTE",
    )
    svid = dial.fetch_svid(session.paths, session.mesh, "bank-link")
    with dial.direct(session.mesh, "ledger", svid) as channel:
        _refused_in_handshake(session, "bank-link calls the ledger with its SVID directly", channel)


def _tampered_token(session: Session) -> None:
    token = users.token(session.paths, session.mesh, "alice")
    header, payload, signature = token.split(".")
    flipped = "A" if payload[10] != "A" else "B"
    forged = ".".join((header, payload[:10] + flipped + payload[11:], signature))
    with dial.gateway(session.paths, session.mesh) as channel:
        reply = session.send(
            channel, "payments/ListPayments", {}, (("authorization", f"Bearer {forged}"),)
        )
    session.report(
        _STEP,
        "a tampered token",
        outcome(reply),
        expected=reply.code == "UNAUTHENTICATED" and reply.reason == "USER_TOKEN_INVALID",
    )


def _no_token(session: Session) -> None:
    with dial.gateway(session.paths, session.mesh) as channel:
        reply = session.send(channel, "payments/ListPayments", {})
    expected = reply.code == "UNAUTHENTICATED"
    session.report(_STEP, "no token at all", outcome(reply), expected=expected)


def _expired_token(session: Session) -> None:
    claims = users.claims(session.mesh, users.find(session.mesh, "alice"), ttl_seconds=-120)
    metadata = (("authorization", f"Bearer {users.sign(session.paths, claims)}"),)
    with dial.gateway(session.paths, session.mesh) as channel:
        reply = session.send(channel, "payments/ListPayments", {}, metadata)
    expected = reply.code == "UNAUTHENTICATED"
    session.report(_STEP, "a token that has run out", outcome(reply), expected=expected)


def _another_tenant(session: Session) -> None:
    reply = session.call("oscar", "ledger/ListBalances", _BALANCES)
    expected = reply.code == "PERMISSION_DENIED"
    session.report(_STEP, "another tenant's operator", outcome(reply), expected=expected)


def _policy_engine_stopped(session: Session) -> None:
    for without, what in ((control.paused, "hangs"), (control.stopped, "is stopped")):
        with without(session.paths, "ledger-pdp"):
            reply = session.call("audrey", "ledger/ListBalances", _BALANCES)
        session.report(
            _STEP,
            f"the ledger's policy engine {what}",
            outcome(reply),
            expected=reply.code == "UNAVAILABLE" and reply.reason == "POLICY_ENGINE_UNAVAILABLE",
        )


def forge(genuine: dial.Svid, spiffe_id: str) -> dial.Svid:
    """A certificate with any SPIFFE ID, from a CA of our own that the mesh does not know.

    The genuine bundle stays, so that it is the callee who refuses.
    """
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "elsewhere")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SPIRE")]))
        .issuer_name(ca_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)]), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    return dial.Svid(
        spiffe_id,
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        genuine.bundle,
    )
