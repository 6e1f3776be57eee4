"""Every allow with its denials; a denial is proved by nothing having run in the service."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import subprocess
import time

import grpc
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.world import World
from paymesh import binaries, dial, users
from paymesh.calls import Reply
from paymesh.demo.refusals import forge
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh

_MESH = load_mesh(port_offset=0)
_GRANTS = load_grants()
_EDGES = sorted(
    (caller, callee) for callee, callers in _GRANTS.edges(_MESH).items() for caller in callers
)
_NOT_EDGES = sorted(
    (caller, callee.name)
    for callee in _MESH.services()
    for caller in _MESH.workloads
    if caller not in _GRANTS.edges(_MESH)[callee.name]
)
_GRANTED = [
    pytest.param(grant, id=grant.id)
    for grant in _GRANTS.grants
    if _MESH.service_of(grant.rpc) is not None
]
_CALLEES = [workload.name for workload in _MESH.services()]


def _rpc_of(callee: str) -> str:
    """Some granted RPC of the callee."""
    return next(
        grant.rpc
        for grant in _GRANTS.grants
        if (served := _MESH.service_of(grant.rpc)) is not None and served.name == callee
    )


def _handshake_refused(reply: Reply) -> bool:
    return reply.code == "UNAVAILABLE" and reply.reason is None


@pytest.mark.parametrize(("caller", "callee"), _NOT_EDGES)
def test_a_workload_without_a_grant_is_refused_by_tls(
    world: World, caller: str, callee: str
) -> None:
    """A workload that has no grant to call another does not get through its TLS handshake."""
    with world.nothing_runs_in(callee):
        reply = world.straight(caller, callee, _rpc_of(callee))
    assert _handshake_refused(reply), reply


@pytest.mark.parametrize(("caller", "callee"), _NOT_EDGES)
def test_a_sidecar_has_no_route_without_a_grant(world: World, caller: str, callee: str) -> None:
    """A workload's own Envoy has no way out to a callee that it has no grant for."""
    if _MESH.workloads[caller].kind != "service":
        pytest.skip("only services have an outbound listener")
    with world.nothing_runs_in(callee):
        reply = world.through_sidecar(caller, _rpc_of(callee))
    assert (reply.code, reply.reason) == ("PERMISSION_DENIED", "NO_ROUTE")


@pytest.mark.parametrize("grant", _GRANTED)
def test_only_granted_callers_reach_an_rpc(world: World, grant) -> None:
    """Each granted RPC is refused to every workload of the mesh that has no grant for that RPC."""
    callee = _MESH.service_of(grant.rpc).name
    granted = {other.caller for other in _GRANTS.grants if other.rpc == grant.rpc}
    with world.nothing_runs_in(callee):
        for caller in set(_MESH.workloads) - granted:
            reply = world.straight(caller, callee, grant.rpc, metadata=world.token("alice"))
            if (caller, callee) in _EDGES:
                assert (reply.code, reply.reason) == ("PERMISSION_DENIED", "RPC_NOT_GRANTED")
                assert reply.decision_id
            else:
                assert _handshake_refused(reply), (caller, reply)


@pytest.mark.parametrize(("caller", "callee"), _EDGES)
def test_an_rpc_that_exists_but_is_not_granted_is_refused(
    world: World, caller: str, callee: str
) -> None:
    """A granted caller is refused every RPC of the callee that its grants do not name."""
    service = world.catalogue.method(_rpc_of(callee)).containing_service
    mine = {grant.rpc for grant in _GRANTS.grants if grant.caller == caller}
    with world.nothing_runs_in(callee):
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            if path not in mine:
                reply = world.straight(caller, callee, path, metadata=world.token("alice"))
                assert (reply.code, reply.reason) == ("PERMISSION_DENIED", "RPC_NOT_GRANTED"), path


@pytest.mark.parametrize("callee", _CALLEES)
def test_no_client_certificate_is_refused(world: World, callee: str) -> None:
    """Without a client certificate there is no connection."""
    bundle = world.svid("statements").bundle
    with (
        world.nothing_runs_in(callee),
        dial.without_certificate(world.mesh, callee, bundle) as channel,
    ):
        reply = world.send(channel, _rpc_of(callee))
    assert _handshake_refused(reply), reply


@pytest.mark.parametrize(("caller", "callee"), _EDGES)
@pytest.mark.parametrize("trust_domain", ["elsewhere.example", "paymesh.internal"])
def test_a_certificate_of_another_authority_is_refused(
    world: World, caller: str, callee: str, trust_domain: str
) -> None:
    """A certificate with a granted caller's path, or even its whole SPIFFE ID, is
    worth nothing from an authority that is not in the bundle.
    """
    spiffe_id = f"spiffe://{trust_domain}/ns/paymesh/sa/{caller}"
    forged = forge(world.svid("statements"), spiffe_id)
    with world.nothing_runs_in(callee), dial.direct(world.mesh, callee, forged) as channel:
        reply = world.send(channel, _rpc_of(callee))
    assert _handshake_refused(reply), reply


@pytest.mark.parametrize("callee", _CALLEES)
def test_plaintext_is_refused(world: World, callee: str) -> None:
    """GRPC without TLS gets nothing from a mesh listener."""
    address = f"{world.mesh.address}:{world.mesh.workloads[callee].port}"
    with world.nothing_runs_in(callee), grpc.insecure_channel(address) as channel:
        reply = world.send(channel, _rpc_of(callee), timeout_seconds=3)
    assert reply.code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}, reply


@pytest.mark.parametrize("callee", [*_CALLEES, "gateway"])
def test_nothing_older_than_tls_1_3_is_spoken(world: World, callee: str) -> None:
    """A client that offers TLS 1.2 at most is refused."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = world.mesh.workloads[callee].port
    with (
        socket.create_connection((world.mesh.address, port), timeout=5) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain)


@pytest.mark.parametrize(
    "header",
    [
        ("x-forwarded-client-cert", "URI=spiffe://paymesh.internal/ns/paymesh/sa/payments"),
        ("x-paymesh-caller", "spiffe://paymesh.internal/ns/paymesh/sa/payments"),
        ("x-paymesh-user", "olivia"),
        ("x-paymesh-roles", "operator,auditor"),
        ("x-envoy-original-path", "/paymesh.ledger.v1.LedgerService/PostTransfer"),
        ("x-forwarded-for", "127.0.0.1"),
    ],
)
def test_identity_headers_from_a_caller_are_worth_nothing(
    world: World, header: tuple[str, str]
) -> None:
    """Whatever a caller writes into an identity header, it is who its certificate says."""
    with world.nothing_runs_in("ledger"):
        reply = world.straight("statements", "ledger", "ledger/PostTransfer", metadata=(header,))
    assert (reply.code, reply.reason) == ("PERMISSION_DENIED", "RPC_NOT_GRANTED")


_SERVICE = "paymesh.ledger.v1.LedgerService"
_PATHS = [
    f"//{_SERVICE}/GetBalance",
    f"/{_SERVICE}//GetBalance",
    f"/{_SERVICE}/GetBalance/",
    f"/{_SERVICE}%2FGetBalance",
    f"/{_SERVICE}/Get%42alance",
    f"/{_SERVICE}/getbalance",
    f"/{_SERVICE.lower()}/GetBalance",
    f"/{_SERVICE}/GetBalance?x=1",
    f"/{_SERVICE}/GetBalance?",
    f"/{_SERVICE}/GetBalance#x",
    f"/{_SERVICE}/GetBalance;x=1",
    f"/{_SERVICE}/./GetBalance",
    f"/{_SERVICE}/x/../GetBalance",
    f"/{_SERVICE}/%2e%2e/{_SERVICE}/GetBalance",
    f"/x/..%2f{_SERVICE}/GetBalance",
    f"/{_SERVICE}\\GetBalance",
    f"/{_SERVICE}/GetBalance%00",
    f"/{_SERVICE}/GetBalance ",
]


@pytest.mark.parametrize("path", _PATHS)
def test_a_path_that_is_not_the_rpcs_own_bytes_is_refused(world: World, path: str) -> None:
    """A granted caller that writes a granted path in any other way is refused and nothing runs."""
    svid = world.svid("statements")
    with world.nothing_runs_in("ledger"), dial.direct(world.mesh, "ledger", svid) as channel:
        status = world.raw(channel, path)
    # Envoy refuses what is malformed or resets the stream, policy what it has no grant for.
    refused = {"INVALID_ARGUMENT", "PERMISSION_DENIED", "UNIMPLEMENTED", "UNAVAILABLE"}
    assert status in refused, status


def _other_key(claims: dict[str, object], kid: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid})


def _bad_tokens(world: World) -> dict[str, str | None]:
    claims = users.claims(world.mesh, users.find(world.mesh, "alice"))
    good = users.sign(world.paths, claims)
    kid = jwt.get_unverified_header(good)["kid"]
    now = int(time.time())
    header, payload, signature = good.split(".")
    return {
        "missing": None,
        "empty": "",
        "garbage": "not.a.token",
        "expired": users.sign(world.paths, {**claims, "iat": now - 900, "exp": now - 300}),
        "without expiry": users.sign(
            world.paths, {key: value for key, value in claims.items() if key != "exp"}
        ),
        "other key": _other_key(claims, kid),
        "other key and kid": _other_key(claims, "somebody-else"),
        "alg none": jwt.encode(claims, None, algorithm="none", headers={"kid": kid}),
        "alg HS256": jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": kid}),
        "other audience": users.sign(world.paths, {**claims, "aud": "elsewhere"}),
        "other issuer": users.sign(world.paths, {**claims, "iss": "https://elsewhere.example"}),
        "no signature": f"{header}.{payload}.",
        "signature cut": f"{header}.{payload}.{signature[:-4]}",
    }


_TOKEN_CASES = [
    "missing",
    "empty",
    "garbage",
    "expired",
    "without expiry",
    "other key",
    "other key and kid",
    "alg none",
    "alg HS256",
    "other audience",
    "other issuer",
    "no signature",
    "signature cut",
]


@pytest.mark.parametrize("case", _TOKEN_CASES)
@pytest.mark.parametrize("position", ["outside", "gateway taken over"])
def test_a_users_token_must_be_good_at_the_gateway_and_again_at_the_callee(
    world: World, case: str, position: str
) -> None:
    """A token that is not wholly right is refused by the gateway, and by the callee's
    policy even when the gateway itself is in the wrong hands.
    """
    token = _bad_tokens(world)[case]
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    with world.nothing_runs_in("payments"):
        if position == "outside":
            with dial.gateway(world.paths, world.mesh) as channel:
                reply = world.send(channel, "payments/ListPayments", metadata=metadata)
        else:
            reply = world.straight(
                "gateway", "payments", "payments/ListPayments", metadata=metadata
            )
    assert reply.code == "UNAUTHENTICATED", reply
    assert reply.reason in {"USER_TOKEN_MISSING", "USER_TOKEN_INVALID", "USER_TOKEN_EXPIRED"}


def test_an_expired_certificate_is_refused(world: World, tmp_path_factory) -> None:
    """A granted caller's own SVID, from SPIRE itself, is worth nothing once it has expired."""
    directory = tmp_path_factory.mktemp("minted")
    done = subprocess.run(
        [
            str(binaries.built(world.paths, "spire-server")),
            *("x509", "mint", "-ttl", "3s"),
            *("-spiffeID", world.mesh.spiffe_id("payments")),
            *("-socketPath", str(world.paths.workload("spire-server") / "private.sock")),
            *("-write", str(directory)),
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    svid = dial.Svid(
        world.mesh.spiffe_id("payments"),
        (directory / "svid.pem").read_bytes(),
        (directory / "key.pem").read_bytes(),
        (directory / "bundle.pem").read_bytes(),
    )
    with dial.direct(world.mesh, "ledger", svid) as channel:
        reply = world.send(channel, "ledger/PostTransfer")
        assert not _handshake_refused(reply), "it has to be good for something while it lives"
    expiry = x509.load_pem_x509_certificate(svid.certificates).not_valid_after_utc
    while dt.datetime.now(dt.UTC) <= expiry:
        time.sleep(0.1)
    with world.nothing_runs_in("ledger"), dial.direct(world.mesh, "ledger", svid) as channel:
        reply = world.send(channel, "ledger/PostTransfer")
    assert _handshake_refused(reply), reply


def test_the_proof_that_nothing_ran_can_fail(world: World) -> None:
    """A call that is carried out is counted, so that the proofs above prove something."""
    before = world.executed("ledger")
    world.straight("statements", "ledger", "ledger/ListBalances", {"legal_entity": "acme"})
    assert world.executed("ledger") == before + 1
