"""An end user's call through the gateway, two Envoys, policy and the service to its database."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator

from paymesh import dial, users
from paymesh.calls import Catalogue, Reply
from paymesh.checks.model import Context, Finding, Section

_TIMEOUT_SECONDS = 5.0
_section = Section("end-to-end")


def check(context: Context) -> Iterator[Finding]:
    """Yields a finding for an allowed call in both forms and for a refused one."""
    yield _permitted(context)
    yield _as_json(context)
    yield _refused(context)


def _permitted(context: Context) -> Finding:
    name = "an end user's call over gRPC is answered"
    reply = _call_as_customer(context, "payments/ListPayments")
    if reply.ok:
        return _section.ok(name)
    said = f"{reply.code} {reply.reason or ''} {reply.message}".strip()
    return _section.problem(
        name,
        f"payments/ListPayments: {said}",
        "mend what is named above, then look at `paymesh logs`",
    )


def _as_json(context: Context) -> Finding:
    name = "an end user's call over JSON is answered"
    token = users.token(context.paths, context.mesh, "alice")
    trust = ssl.create_default_context(cafile=str(context.paths.home / "edge" / "ca.pem"))
    port = context.mesh.workloads["gateway"].port
    connection = http.client.HTTPSConnection(
        context.mesh.address, port, timeout=_TIMEOUT_SECONDS, context=trust
    )
    try:
        connection.request("GET", "/v1/payments", headers={"authorization": f"Bearer {token}"})
        response = connection.getresponse()
        body = response.read(65536)
    except (TimeoutError, OSError, http.client.HTTPException) as error:
        return _section.problem(
            name, f"GET /v1/payments: {error}", "see `paymesh logs gateway-envoy`"
        )
    finally:
        connection.close()
    if response.status == http.client.OK and isinstance(json.loads(body), dict):
        return _section.ok(name)
    return _section.problem(
        name,
        f"GET /v1/payments: {response.status} {body[:200].decode(errors='replace')}",
        "mend what is named above, then look at `paymesh logs gateway-envoy`",
    )


def _refused(context: Context) -> Finding:
    name = "a call that nobody granted is refused"
    reply = _call_as_customer(context, "payments/RefundPayment")
    refused = reply.code == "PERMISSION_DENIED"
    return _section.expect(
        name,
        None if refused else f"payments/RefundPayment as a customer: {reply.code}",
        "compare policies/ with the last revision that was reviewed",
    )


def _call_as_customer(context: Context, rpc: str) -> Reply:
    metadata = dial.user_metadata(context.paths, context.mesh, "alice")
    with dial.gateway(context.paths, context.mesh) as channel:
        return Catalogue.load().send(
            channel, rpc, metadata=metadata, timeout_seconds=_TIMEOUT_SECONDS
        )
