"""Where Envoy connects to: the app, the policy engine, the SPIRE agent, callees and externals."""

from __future__ import annotations

from paymesh.mesh import External, Workload
from paymesh.render import tls
from paymesh.render.blocks import (
    APP_SOCKET,
    AUTHZ_SOCKET,
    BUFFER_BYTES,
    SPIRE_SOCKET,
    Block,
    Plan,
    any_,
    endpoint,
    pipe,
    seconds,
    tcp,
)

CONNECT_TIMEOUT_SECONDS = 1
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def local_clusters(plan: Plan) -> list[Block]:
    """Over Unix sockets in the workload's own directory, and the agent's."""
    clusters = [_cluster(plan, "spire", pipe(SPIRE_SOCKET))]
    if plan.workload.kind == "service":
        clusters.append(_app_cluster(plan))
        clusters.append(_cluster(plan, "authz", pipe(AUTHZ_SOCKET)))
    return clusters


def callee_cluster(plan: Plan, callee: Workload) -> Block:
    """A callee's Envoy, over mutual TLS."""
    if callee.port is None:
        raise ValueError(f"{callee.name} has no port")
    cluster = _cluster(plan, callee.name, tcp(plan.mesh.address, callee.port))
    cluster["transport_socket"] = tls.outbound(plan, callee.name)
    # With another endpoint to go to, leave out the one that fails. With one
    # only, Envoy's panic threshold still tries it, so that the caller hears
    # the true reason.
    cluster["outlier_detection"] = {
        "consecutive_5xx": 5,
        "consecutive_gateway_failure": 5,
        "interval": seconds(1),
        "base_ejection_time": seconds(5),
        "max_ejection_time": seconds(60),
        "max_ejection_percent": 50,
    }
    if plan.asks_health:
        cluster["health_checks"] = [
            {
                "timeout": seconds(1),
                "interval": seconds(10),
                "no_traffic_interval": seconds(10),
                "unhealthy_interval": seconds(2),
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {"authority": plan.server_name(callee.name)},
            }
        ]
    return cluster


def external_cluster(plan: Plan, external: External) -> Block:
    """A named host outside the mesh, over HTTPS."""
    cluster = _cluster(plan, external.name, tcp(plan.mesh.address, external.port))
    cluster["typed_extension_protocol_options"] = {
        _HTTP_OPTIONS: any_(
            _HTTP_OPTIONS,
            common_http_protocol_options={"idle_timeout": seconds(30)},
            explicit_http_config={"http_protocol_options": {}},
        )
    }
    cluster["transport_socket"] = tls.external(external.host)
    return cluster


def _app_cluster(plan: Plan) -> Block:
    """The workload's own app, over one connection for all callers."""
    cluster = _cluster(plan, "app", pipe(APP_SOCKET))
    options = cluster["typed_extension_protocol_options"][_HTTP_OPTIONS]
    # No field of one call is kept for the next: gRPC's server answers every call that names a
    # field which it once could not parse (grpc/grpc#34721), whoever sent it, with INTERNAL.
    options["explicit_http_config"]["http2_protocol_options"]["hpack_table_size"] = 0
    return cluster


def _cluster(plan: Plan, name: str, address: Block) -> Block:
    """HTTP/2 without TLS to one endpoint, with a limit on everything."""
    limits = plan.mesh.limits
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": seconds(CONNECT_TIMEOUT_SECONDS),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: any_(
                _HTTP_OPTIONS,
                common_http_protocol_options={"idle_timeout": seconds(300)},
                explicit_http_config={
                    "http2_protocol_options": {
                        "max_concurrent_streams": limits.max_concurrent_streams,
                        "initial_stream_window_size": BUFFER_BYTES,
                        "initial_connection_window_size": BUFFER_BYTES * 8,
                        "connection_keepalive": {"interval": seconds(30), "timeout": seconds(5)},
                    }
                },
            )
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": limits.max_connections,
                    "max_pending_requests": limits.max_pending_requests,
                    "max_requests": limits.max_requests,
                    # Calls that were on their way to an endpoint that has just gone fit in
                    # here; retries of an outage stay a fifth of the calls.
                    "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 16},
                }
            ]
        },
        "load_assignment": endpoint(name, address),
    }
