"""The doors of a workload: inbound, outbound, egress, and the gateway's public one."""

from __future__ import annotations

from paymesh.mesh import External
from paymesh.render import filters, replies, routes, tls
from paymesh.render.blocks import (
    EGRESS_SOCKET,
    OUTBOUND_SOCKET,
    Block,
    Plan,
    listening_pipe,
    seconds,
    tcp,
)
from paymesh.render.http import (
    TLS_HANDSHAKE_TIMEOUT_SECONDS,
    Door,
    connection_manager,
    listener,
)

# For all end users together; one workload's worth, measured on two cores.
GATEWAY_REQUESTS_PER_SECOND = 1000
GATEWAY_BURST = 2000

# When Envoy's health is failed, callers go elsewhere; the workload's own app cannot.
_STAYS = "MODIFY_ONLY"


def inbound(plan: Plan) -> list[Block]:
    """From other workloads: mutual TLS, then policy, then the app.

    A service that nobody is granted to call has no inbound listener at all.
    """
    callers = plan.grants.callers(plan.mesh, plan.workload.name)
    port = plan.workload.port
    if not callers or port is None:
        return []
    door = Door(
        name="inbound",
        codec="HTTP2",
        filters=[filters.strip_callers(), filters.ext_authz(plan)],
        routes=routes.inbound_routes(plan),
        replies=replies.mesh_replies(plan.mesh.trust_domain),
        forwards_client_certificate=True,
    )
    chain: Block = {
        "filter_chain_match": {"transport_protocol": "tls", "application_protocols": ["h2"]},
        "transport_socket": tls.inbound(plan, callers),
        "transport_socket_connect_timeout": seconds(TLS_HANDSHAKE_TIMEOUT_SECONDS),
        "filters": [connection_manager(plan, door)],
    }
    address = tcp(plan.mesh.address, port)
    return [listener(plan, "inbound", address, chain, listener_filters=[tls.inspector()])]


def outbound(plan: Plan) -> list[Block]:
    """From the workload's own app to the services that it is granted to call."""
    door = Door(
        name="outbound",
        codec="HTTP2",
        filters=[filters.strip_headers(filters.IDENTITY_PREFIXES)],
        routes=routes.outbound_routes(plan),
        replies=replies.mesh_replies(plan.mesh.trust_domain),
    )
    chain = {"filters": [connection_manager(plan, door)]}
    address = listening_pipe(OUTBOUND_SOCKET)
    return [listener(plan, "outbound", address, chain, drain_type=_STAYS)]


def egress(plan: Plan, externals: list[External]) -> list[Block]:
    """From the workload's own app to the hosts outside that `mesh.yaml` names for it."""
    if not externals:
        return []
    hosts = [_external_host(plan, external) for external in externals]
    refused = {
        "name": "refused",
        "domains": ["*"],
        "routes": [routes.refuse_rest(plan, replies.NO_ROUTE)],
    }
    door = Door(
        name="egress",
        codec="AUTO",
        filters=[filters.strip_headers(filters.INTERNAL_PREFIXES)],
        routes={"name": "egress", "virtual_hosts": [*hosts, refused]},
        replies=replies.mesh_replies(plan.mesh.trust_domain),
    )
    chain = {"filters": [connection_manager(plan, door)]}
    return [listener(plan, "egress", listening_pipe(EGRESS_SOCKET), chain, drain_type=_STAYS)]


def public(plan: Plan) -> list[Block]:
    """From end users: TLS, their token, JSON or gRPC."""
    if plan.workload.port is None:
        return []
    door = Door(
        name="public",
        codec="AUTO",
        filters=[
            filters.strip_callers(),
            filters.local_rate_limit(GATEWAY_REQUESTS_PER_SECOND, GATEWAY_BURST),
            filters.user_tokens(plan),
            filters.transcoder(plan),
        ],
        routes=routes.gateway_routes(plan),
        replies=replies.gateway_replies(plan.mesh.trust_domain),
        strangers=True,
        logs_success=True,
    )
    chain: Block = {
        "transport_socket": tls.public(),
        "transport_socket_connect_timeout": seconds(TLS_HANDSHAKE_TIMEOUT_SECONDS),
        "filters": [connection_manager(plan, door)],
    }
    return [listener(plan, "public", tcp(plan.mesh.address, plan.workload.port), chain)]


def _external_host(plan: Plan, external: External) -> Block:
    return {
        "name": external.name,
        "domains": [external.host],
        "routes": [
            {
                "match": {"prefix": "/"},
                # No retries: what the provider made of the first attempt is not known here.
                "route": {
                    "cluster": external.name,
                    "timeout": seconds(plan.mesh.limits.request_timeout_seconds),
                },
            }
        ],
    }
