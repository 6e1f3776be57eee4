"""From the end user to a service, through the gateway's committed configuration."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import jwt
import pytest
from conftest import Stage, call
from cryptography.hazmat.primitives.asymmetric import ec
from envoy_stubs import deny

LIST = "/paymesh.payments.v1.PaymentsService/ListPayments"


@pytest.fixture
def browser(clean: Stage) -> Iterator[httpx.Client]:
    """An end user's HTTP client, without a token."""
    context = ssl.create_default_context(cadata=clean.authority.bundle.decode())
    port = clean.mesh.workloads["gateway"].port
    with httpx.Client(base_url=f"https://localhost:{port}", verify=context, http2=True) as client:
        yield client


def _user(stage: Stage, **claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {stage.issuer.token(**claims)}"}


def _calls(stage: Stage) -> list[str]:
    methods = [c.method for app in stage.apps.values() for c in app.calls]
    return [method for method in methods if "Health" not in method]


def test_json_becomes_a_call_and_back(clean: Stage, browser: httpx.Client) -> None:
    """A GET is an RPC at the service, with the user's token; defaults are printed."""
    user = _user(clean)
    response = browser.get("/v1/payments?page_size=5", headers=user)
    assert response.status_code == 200
    assert response.json() == {"payments": [], "nextPageToken": ""}
    (seen,) = [c for c in clean.apps["payments"].calls if c.method == LIST]
    assert seen.message == b"\x08\x05"
    assert seen.metadata["authorization"] == user["authorization"]


def test_grpc_passes_with_a_token(clean: Stage) -> None:
    """The same door takes gRPC."""
    credentials = grpc.ssl_channel_credentials(clean.authority.bundle)
    port = clean.mesh.workloads["gateway"].port
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        assert call(channel, LIST, **_user(clean)).code == grpc.StatusCode.OK
        answer = call(channel, LIST)
        assert answer.code == grpc.StatusCode.UNAUTHENTICATED
        assert answer.reason == "USER_TOKEN_MISSING"
        # A grant of payments', not of the gateway's.
        post = "/paymesh.ledger.v1.LedgerService/PostTransfer"
        answer = call(channel, post, **_user(clean))
        assert (answer.code, answer.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNKNOWN_RPC")
    assert _calls(clean) == [LIST]


def _tokens(stage: Stage) -> dict[str, tuple[str, str]]:
    good = stage.issuer.token()
    claims = jwt.decode(good, options={"verify_signature": False})
    other_key = ec.generate_private_key(ec.SECP256R1())
    head, body, signature = good.split(".")
    return {
        "expired": (stage.issuer.token(lifetime_seconds=-30), "USER_TOKEN_EXPIRED"),
        "other audience": (stage.issuer.token(aud="other"), "USER_TOKEN_INVALID"),
        "other issuer": (stage.issuer.token(iss="https://evil.test"), "USER_TOKEN_INVALID"),
        "other key": (jwt.encode(claims, other_key, "ES256"), "USER_TOKEN_INVALID"),
        "no algorithm": (jwt.encode(claims, None, "none"), "USER_TOKEN_INVALID"),
        "symmetric": (jwt.encode(claims, "k" * 64, "HS256"), "USER_TOKEN_INVALID"),
        "tampered": (f"{head}.{body[:-2]}AA.{signature}", "USER_TOKEN_INVALID"),
        "no signature": (f"{head}.{body}.", "USER_TOKEN_INVALID"),
        "not a token": ("token", "USER_TOKEN_INVALID"),
    }


def test_bad_tokens_are_refused_in_json(clean: Stage, browser: httpx.Client) -> None:
    """Every bad token is a 401 with its reason in header and body; no service is called."""
    for name, (token, reason) in _tokens(clean).items():
        response = browser.get("/v1/payments", headers={"authorization": f"Bearer {token}"})
        assert response.status_code == 401, name
        assert response.headers["x-paymesh-reason"] == reason, name
        body = response.json()
        assert body["code"] == 16, name
        assert body["details"][0]["reason"] == reason, name
    assert _calls(clean) == []


def test_token_is_taken_from_the_header_only(clean: Stage, browser: httpx.Client) -> None:
    """A token in the query is not a token: queries stand in logs."""
    response = browser.get(f"/v1/payments?access_token={clean.issuer.token()}")
    assert response.status_code == 401
    assert response.headers["x-paymesh-reason"] == "USER_TOKEN_MISSING"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/payments", 404),
        ("GET", "//v1/payments", 404),
        ("GET", "/v1/payments?unknown=1", 400),
        ("GET", "/v1/payments/a%2Fb", 400),
        ("POST", LIST, 404),
        ("OPTIONS", "/v1/payments", 404),
    ],
)
def test_json_of_no_rpc_is_refused(
    clean: Stage, browser: httpx.Client, method: str, path: str, status: int
) -> None:
    """What is not exactly an RPC has a status, a reason, and no effect."""
    response = browser.request(method, path, headers=_user(clean))
    assert response.status_code == status
    assert response.json()["details"][0]["reason"] == response.headers["x-paymesh-reason"]
    assert _calls(clean) == []


def test_malformed_json_is_refused(clean: Stage, browser: httpx.Client) -> None:
    """Half a document, and a value of another type, are the caller's mistake."""
    for body in (b"{half", b"[]", b'{"amount": {"minorUnits": 1.5}}'):
        response = browser.post("/v1/payments", content=body, headers=_user(clean))
        assert response.status_code == 400, body
        assert response.headers["x-paymesh-reason"] == "MALFORMED_REQUEST"
    assert _calls(clean) == []


def test_denial_by_the_callee_reads_as_json(clean: Stage, browser: httpx.Client) -> None:
    """A service's refusal keeps its status and its reason on the way to a JSON client."""
    clean.policies["payments"].answer = deny(403, "RPC_NOT_GRANTED")
    response = browser.get("/v1/payments", headers=_user(clean))
    assert response.status_code == 403
    assert response.headers["x-paymesh-reason"] == "RPC_NOT_GRANTED"


def test_unreachable_service_reads_as_json(clean: Stage, browser: httpx.Client) -> None:
    """A service that is not there is a 503 with the same body as every error."""
    response = browser.get("/v1/links", headers=_user(clean))
    assert response.status_code == 503
    assert response.json()["details"][0]["reason"] == "SERVICE_UNAVAILABLE"


def test_strangers_cannot_say_who_they_are(clean: Stage, browser: httpx.Client) -> None:
    """Identity, forwarding and request id from outside are not believed."""
    forged = {"x-paymesh-user": "mallory-1", "x-request-id": "mallory-2", "x-real-ip": "mallory-3"}
    forged |= {"x-envoy-original-path": "/mallory-4", "x-forwarded-client-cert": "mallory-5"}
    assert browser.get("/v1/payments", headers=_user(clean) | forged).status_code == 200
    assert "mallory" not in str(clean.apps["payments"].calls)
    assert not any(b"mallory" in check for check in clean.policies["payments"].checks)


def test_header_with_underscore_is_refused(clean: Stage, browser: httpx.Client) -> None:
    """An app could take `x_paymesh_user` for `x-paymesh-user`."""
    # Envoy resets the HTTP/2 stream; there is no answer.
    with pytest.raises(httpx.RemoteProtocolError):
        browser.get("/v1/payments", headers=_user(clean) | {"x_paymesh_user": "mallory"})
    assert _calls(clean) == []


def test_access_log_holds_no_token(clean: Stage, browser: httpx.Client) -> None:
    """The gateway logs each call with its path, but neither token nor query."""
    user = _user(clean)
    browser.get("/v1/payments?page_token=secret-page", headers=user)
    browser.get("/v1/payments?access_token=secret-token")
    deadline = time.monotonic() + 5
    log = ""
    while log.count('"path":"/v1/payments"') < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        log = (clean.homes["gateway"] / "envoy.log").read_text(encoding="utf-8")
    assert log.count('"path":"/v1/payments"') >= 2
    assert user["authorization"].split(".")[2] not in log
    assert "secret" not in log
