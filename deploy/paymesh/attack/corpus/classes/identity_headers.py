"""Class 10: headers that say who is calling, or that the proxy itself acts upon.

CVE-2023-27487 (a client could forge x-envoy-original-path), CVE-2024-45806 (x-envoy-* from
addresses that were held to be internal), CVE-2021-32777 (Envoy's ext_authz).
"""

from __future__ import annotations

import base64

from paymesh.attack.corpus.calls import Maker, plus
from paymesh.attack.corpus.ground import Ground

TITLE = "forged identity and x-envoy-* headers"


def add(maker: Maker) -> None:
    """Each of them from a caller without the grant, and from outside without the role."""
    calls = maker.calls
    payments = maker.ground.mesh.spiffe_id("payments")
    headers = _identities(maker.ground, payments) | _routes(calls.may_inside.path, payments)
    for name, value in headers.items():
        field = (name.encode(), value.encode())
        maker.shape(name, value[:40], plus(field), calls.inside, calls.public, calls.userless)
    everything = plus(*((name.encode(), value.encode()) for name, value in headers.items()))
    maker.shape("all", "all of them at once", everything, calls.inside, calls.public)
    maker.control(calls.may_inside, calls.may_public)
    said = plus((b"x-paymesh-caller", payments.encode()), (b"x-paymesh-user", b"olivia"))
    maker.control(calls.may_inside, change=said, name="passed-over")


def _identities(ground: Ground, payments: str) -> dict[str, str]:
    """Who it is, for whom, and on whose word."""
    return {
        "x-paymesh-caller": payments,
        "x-paymesh-user": "olivia",
        "x-paymesh-tenant": "acme",
        "x-paymesh-roles": "operator,auditor",
        "x-paymesh-grant": "payments-post-transfer",
        "x-paymesh-decision-id": "00000000-0000-0000-0000-000000000000",
        "x-paymesh-reason": "ALLOWED",
        "x-paymesh-claims": '{"roles":["operator"]}',
        "x-claimed-workload": payments,
        "x-spiffe-id": payments,
        "x-remote-user": "olivia",
        "remote-user": "olivia",
        "x-user-id": "olivia",
        "x-user-roles": "operator",
        "x-auth-request-user": "olivia",
        "x-forwarded-user": "olivia",
        "x-forwarded-email": "olivia@acme.example",
        "x-forwarded-groups": "operator",
        "x-forwarded-access-token": ground.token("olivia"),
        "x-jwt-payload": base64.urlsafe_b64encode(b'{"sub":"olivia"}').decode(),
        "x-jwt-assertion": ground.token("olivia"),
        "x-goog-authenticated-user-email": "olivia",
        "x-amzn-oidc-data": ground.token("olivia"),
        "l5d-client-id": payments,
        "x-istio-attributes": payments,
        "cookie": f"authorization={ground.token('olivia')}",
        "proxy-authorization": f"Bearer {ground.token('olivia')}",
        "baggage": f"caller={payments}",
        "x-paymesh-caller-bin": base64.b64encode(payments.encode()).decode(),
    }


def _routes(granted: str, payments: str) -> dict[str, str]:
    """Where it goes, whence it came, and what Envoy itself acts upon."""
    return {
        "x-envoy-original-path": granted,
        "x-envoy-original-method": "GET",
        "x-envoy-internal": "true",
        "x-envoy-external-address": "127.0.0.1",
        "x-envoy-peer-metadata-id": "sidecar~10.0.0.1~payments",
        "x-envoy-decorator-operation": "payments",
        "x-envoy-auth-partial-body": "false",
        "x-envoy-retry-on": "5xx,retriable-4xx",
        "x-envoy-max-retries": "9",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-hedge-on-per-try-timeout": "true",
        "x-envoy-ip-tags": "internal",
        "x-envoy-force-trace": "true",
        "x-original-url": granted,
        "x-rewrite-url": granted,
        "x-original-method": "GET",
        "x-http-method-override": "GET",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": "payments.paymesh.internal",
        "x-forwarded-proto": "https",
        "x-forwarded-prefix": "/x",
        "x-forwarded-uri": granted,
        "x-real-ip": "127.0.0.1",
        "forwarded": "for=127.0.0.1;host=payments.paymesh.internal;proto=https",
        "via": "2.0 payments",
        "x-request-id": payments,
        "grpc-previous-rpc-attempts": "1",
    }
