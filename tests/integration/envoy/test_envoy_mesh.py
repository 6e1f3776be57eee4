"""From workload to workload, through the committed configuration of real Envoys."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import grpc
import pytest
from conftest import Stage, call
from envoy_authority import Authority, Pair
from envoy_stubs import allow, deny
from google.rpc import error_details_pb2, status_pb2

POST = "/paymesh.ledger.v1.LedgerService/PostTransfer"
# What an HTTP/2 client says first (RFC 9113, section 3.4): the preface and empty SETTINGS.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
SAMPLE_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_granted_call_arrives_as_it_was_sent(clean: Stage) -> None:
    """Message, trace and user token reach the app; the caller's identity is Envoy's word."""
    answer = clean.outbound(
        "payments", POST, b"message", traceparent=SAMPLE_TRACE, authorization="Bearer x"
    )
    assert answer.code == grpc.StatusCode.OK
    (seen,) = [c for c in clean.apps["ledger"].calls if c.method == POST]
    assert seen.message == b"message"
    assert seen.metadata["traceparent"] == SAMPLE_TRACE
    assert seen.metadata["authorization"] == "Bearer x"
    certificate = seen.metadata["x-forwarded-client-cert"]
    assert certificate.endswith(f"URI={clean.mesh.spiffe_id('payments')}")


def test_identity_headers_are_stripped_before_policy_sees_them(clean: Stage) -> None:
    """Neither policy nor app reads a header in which the caller says who it is."""
    forged = {
        "x_paymesh_user": "mallory-1",
        "x_paymesh_caller": "mallory-2",
        "x_forwarded_client_cert": "mallory-3",
        "x_envoy_original_path": "/mallory-4",
        "x_forwarded_user": "mallory-5",
    }
    answer = clean.outbound("payments", POST, **forged)
    assert answer.code == grpc.StatusCode.OK
    assert clean.policies["ledger"].checks
    assert not any(b"mallory" in check for check in clean.policies["ledger"].checks)
    assert "mallory" not in str(clean.apps["ledger"].calls)


def test_policy_may_add_its_own_headers_only(clean: Stage) -> None:
    """What policy says of the caller reaches the app; it cannot change the request otherwise."""
    clean.policies["ledger"].answer = allow(x_paymesh_user="alice", authorization="changed")
    clean.outbound("payments", POST, authorization="Bearer x", x_paymesh_user="mallory")
    (seen,) = [c for c in clean.apps["ledger"].calls if c.method == POST]
    assert seen.metadata["x-paymesh-user"] == "alice"
    assert seen.metadata["authorization"] == "Bearer x"


@pytest.mark.parametrize(
    ("http_status", "reason", "code"),
    [
        (403, "RPC_NOT_GRANTED", grpc.StatusCode.PERMISSION_DENIED),
        (401, "USER_TOKEN_MISSING", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
def test_denial_is_passed_on_and_not_executed(
    clean: Stage, http_status: int, reason: str, code: grpc.StatusCode
) -> None:
    """Policy's own reason reaches the caller; the app never hears of the call."""
    clean.policies["ledger"].answer = deny(http_status, reason)
    answer = clean.outbound("payments", POST)
    assert (answer.code, answer.reason) == (code, reason)
    assert [c for c in clean.apps["ledger"].calls if c.method == POST] == []


def test_hung_policy_engine_is_unavailable_in_time(clean: Stage) -> None:
    """No answer from policy is UNAVAILABLE with its reason, after the timeout, unexecuted."""
    clean.policies["ledger"].hung = True
    started = time.monotonic()
    answer = clean.outbound("payments", POST)
    elapsed = time.monotonic() - started
    assert answer.code == grpc.StatusCode.UNAVAILABLE
    assert answer.reason == "POLICY_ENGINE_UNAVAILABLE"
    assert elapsed < clean.mesh.limits.authz_timeout_seconds + 2
    assert [c for c in clean.apps["ledger"].calls if c.method == POST] == []


def test_envoys_own_answer_carries_error_details(clean: Stage) -> None:
    """An ErrorInfo says the same as the header, for clients that read the rich error model."""
    answer = clean.outbound("payments", "/paymesh.payments.v1.PaymentsService/GetPayment")
    assert answer.code == grpc.StatusCode.PERMISSION_DENIED
    status = status_pb2.Status.FromString(answer.metadata["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("NO_ROUTE", clean.mesh.trust_domain)
    assert answer.details == status.message
    assert answer.details.startswith("NO_ROUTE: ")


@pytest.mark.parametrize(
    "path",
    [
        "//paymesh.ledger.v1.LedgerService/PostTransfer",
        "/paymesh.ledger.v1.LedgerService//PostTransfer",
        "/paymesh.ledger.v1.LedgerService%2FPostTransfer",
        "/paymesh.ledger.v1.LedgerService/PostTransfer/",
        "/paymesh.ledger.v1.LedgerService/postTransfer",
        "/paymesh.ledger.v1.LedgerService/PostTransfer?x=1",
        "/paymesh.ledger.v1.LedgerService/PostTransfer;x=1",
        "/paymesh.ledger.v1.LedgerService/PostTransfer#x",
        "/paymesh.ledger.v1.LedgerService/./PostTransfer",
        "/paymesh.ledger.v1.LedgerService/../LedgerService/PostTransfer",
        "/paymesh.ledger.v1.LedgerService/Post%54ransfer",
        "/paymesh.ledger.v1.LedgerService\\PostTransfer",
        "/paymesh.ledger.v1.LedgerService/Unknown",
    ],
)
def test_variant_of_a_path_is_another_path(clean: Stage, path: str) -> None:
    """Even with a policy that allows everything, only the exact path reaches the app."""
    answer = clean.outbound("payments", path)
    assert answer.code != grpc.StatusCode.OK
    assert answer.reason in {"NO_ROUTE", "UNKNOWN_RPC", "MALFORMED_REQUEST"}
    assert [c for c in clean.apps["ledger"].calls if "Health" not in c.method] == []


def test_compressed_message_is_refused(clean: Stage) -> None:
    """Policy could not read it, so the app does not get it."""
    socket_path = clean.homes["payments"] / "outbound.sock"
    with grpc.insecure_channel(f"unix:{socket_path}", compression=grpc.Compression.Gzip) as channel:
        answer = call(channel, POST, b"x" * 1000)
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNIMPLEMENTED, "COMPRESSION_REFUSED")
    assert [c for c in clean.apps["ledger"].calls if c.method == POST] == []


def test_message_size_is_bounded(clean: Stage) -> None:
    """The largest message passes whole; a much larger one is refused."""
    largest = clean.mesh.limits.max_message_bytes
    assert clean.outbound("payments", POST, b"x" * largest).code == grpc.StatusCode.OK
    answer = clean.outbound("payments", POST, b"x" * (largest * 4))
    assert (answer.code, answer.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "MESSAGE_TOO_LARGE",
    )
    sizes = [len(c.message) for c in clean.apps["ledger"].calls if c.method == POST]
    assert sizes == [largest]


def test_unreachable_service_is_named(clean: Stage) -> None:
    """A callee that is not there is UNAVAILABLE with its own reason."""
    link = "/paymesh.bank_link.v1.BankLinkService/GetLink"
    answer = clean.outbound("payments", link)
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")


def test_gateway_asks_for_health_by_name(clean: Stage) -> None:
    """Health belongs to every service: the authority says whose is meant."""
    socket_path = clean.homes["gateway"] / "outbound.sock"
    options = [("grpc.default_authority", f"payments.{clean.mesh.trust_domain}")]
    with grpc.insecure_channel(f"unix:{socket_path}", options=options) as channel:
        assert call(channel, "/grpc.health.v1.Health/Check").code == grpc.StatusCode.OK
    assert "/grpc.health.v1.Health/Check" in [c.method for c in clean.apps["payments"].calls]
    denied = clean.outbound("gateway", "/grpc.health.v1.Health/Check")
    assert denied.reason == "NO_ROUTE"


def test_sockets_are_their_owners(stage: Stage) -> None:
    """Envoy's own sockets are closed to every other user of the machine."""
    for home in stage.homes.values():
        for name in ("admin.sock", "outbound.sock"):
            assert (home / name).stat().st_mode & 0o777 == 0o600


def _handshake(stage: Stage, pair: Pair | None, tmp: Path, alpn: str = "h2") -> bytes:
    """Connects to the ledger's inbound port and reads; empty if the server closed at once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=stage.authority.bundle.decode())
    context.set_alpn_protocols([alpn])
    if pair is not None:
        (tmp / "pair.pem").write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(tmp / "pair.pem")
    address = (stage.mesh.address, stage.mesh.workloads["ledger"].port)
    with socket.create_connection(address, timeout=5) as raw, context.wrap_socket(raw) as tls:
        assert tls.version() == "TLSv1.3"
        tls.sendall(_PREFACE)
        return tls.recv(100)


def test_granted_certificate_is_let_in(stage: Stage, tmp_path: Path) -> None:
    """The control of the next test: with a granted SVID the server speaks HTTP/2."""
    svid = stage.authority.svid(stage.mesh.spiffe_id("statements"), "statements")
    assert _handshake(stage, svid, tmp_path)


@pytest.mark.parametrize(
    "peer", ["none", "bank-link", "ledger", "other-domain", "same-name-other-authority", "no-id"]
)
def test_other_certificates_are_turned_away(stage: Stage, tmp_path: Path, peer: str) -> None:
    """No certificate, no grant, another trust domain, another authority: nothing is said."""
    mesh, own = stage.mesh, stage.authority
    foreign = mesh.spiffe_id("payments").replace(mesh.trust_domain, "evil.test")
    pair = {
        "none": None,
        "bank-link": own.svid(mesh.spiffe_id("bank-link"), "bank-link"),
        "ledger": own.svid(mesh.spiffe_id("ledger"), "ledger"),
        "other-domain": own.svid(foreign, "payments"),
        "same-name-other-authority": Authority("evil").svid(mesh.spiffe_id("payments"), "payments"),
        "no-id": own.server(f"payments.{mesh.trust_domain}"),
    }[peer]
    try:
        said = _handshake(stage, pair, tmp_path)
    except (ssl.SSLError, ConnectionError):
        said = b""
    assert said == b""


def test_only_http2_over_tls_is_spoken(stage: Stage, tmp_path: Path) -> None:
    """Another protocol over TLS, and a plain connection, find no filter chain."""
    svid = stage.authority.svid(stage.mesh.spiffe_id("payments"), "payments")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _handshake(stage, svid, tmp_path, alpn="http/1.1")
    address = (stage.mesh.address, stage.mesh.workloads["ledger"].port)
    with socket.create_connection(address, timeout=5) as plain:
        plain.sendall(_PREFACE)
        try:
            said = plain.recv(100)
        except ConnectionError:
            said = b""
    assert said == b""
