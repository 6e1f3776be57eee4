"""The HTTP connection manager that every listener has, hardened the same way."""

from __future__ import annotations

import dataclasses
from typing import Literal

from paymesh.render.blocks import BUFFER_BYTES, Block, Plan, any_, extension, seconds

_CONNECTION_MANAGER = (
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)

HEADERS_MAX_COUNT = 64
HEADERS_MAX_KIB = 16
REQUEST_HEADERS_TIMEOUT_SECONDS = 5
IDLE_TIMEOUT_SECONDS = 300
TLS_HANDSHAKE_TIMEOUT_SECONDS = 3
DRAIN_TIMEOUT_SECONDS = 5


@dataclasses.dataclass(frozen=True)
class Door:
    """What differs between the listeners.

    `strangers` are callers outside the mesh: their address is recorded and
    their request id and forwarding headers are not believed.
    """

    name: str
    codec: Literal["HTTP2", "AUTO"]
    filters: list[Block]
    routes: Block
    replies: Block
    strangers: bool = False
    forwards_client_certificate: bool = False
    logs_success: bool = False


def connection_manager(plan: Plan, door: Door) -> Block:
    """The network filter that reads HTTP. A path is matched as it came, never rewritten:
    a variant of a granted path is another path, and refused.
    """
    timeout = plan.mesh.limits.request_timeout_seconds
    fields: Block = {
        "stat_prefix": door.name,
        "codec_type": door.codec,
        "use_remote_address": door.strangers,
        "skip_xff_append": not door.strangers,
        "preserve_external_request_id": not door.strangers,
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        **_client_certificate(door),
        "common_http_protocol_options": {
            "idle_timeout": seconds(IDLE_TIMEOUT_SECONDS),
            "max_connection_duration": seconds(plan.mesh.identity.max_connection_duration_seconds),
            "max_headers_count": HEADERS_MAX_COUNT,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": plan.mesh.limits.max_concurrent_streams,
            "initial_stream_window_size": BUFFER_BYTES,
            "initial_connection_window_size": BUFFER_BYTES * 8,
        },
        "max_request_headers_kb": HEADERS_MAX_KIB,
        "request_headers_timeout": seconds(REQUEST_HEADERS_TIMEOUT_SECONDS),
        "request_timeout": seconds(timeout),
        "stream_idle_timeout": seconds(timeout),
        "drain_timeout": seconds(DRAIN_TIMEOUT_SECONDS),
        "access_log": [_access_log(door)],
        "http_filters": [*door.filters, _router()],
        "route_config": door.routes,
        "local_reply_config": door.replies,
    }
    return extension("envoy.filters.network.http_connection_manager", _CONNECTION_MANAGER, **fields)


def listener(
    plan: Plan, name: str, address: Block, chain: Block, **fields: Block | list[Block] | str
) -> Block:
    """A listener of one filter chain, with a limit on its connections and its buffers."""
    limit = extension(
        "envoy.filters.network.connection_limit",
        "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
        stat_prefix=name,
        max_connections=plan.mesh.limits.max_connections,
    )
    return {
        "name": name,
        "address": address,
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "tcp_backlog_size": plan.mesh.limits.max_connections,
        **fields,
        "filter_chains": [{**chain, "filters": [limit, *chain["filters"]]}],
    }


def _client_certificate(door: Door) -> Block:
    if not door.forwards_client_certificate:
        return {"forward_client_cert_details": "SANITIZE"}
    return {
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"uri": True},
    }


def _router() -> Block:
    return extension(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        suppress_envoy_headers=True,
    )


def _access_log(door: Door) -> Block:
    """One JSON object a line. No query, no header that could hold a token."""
    log: Block = {
        "name": "envoy.access_loggers.stdout",
        "typed_config": any_(
            "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            log_format={
                "json_format": {
                    "time": "%START_TIME%",
                    "listener": door.name,
                    "method": "%REQ(:METHOD)%",
                    "path": "%PATH(NQ:ORIG_OR_PATH)%",
                    "status": "%RESPONSE_CODE%",
                    "grpc_status": "%GRPC_STATUS%",
                    "reason": "%RESP(X-PAYMESH-REASON)%",
                    "decision_id": "%RESP(X-PAYMESH-DECISION-ID)%",
                    "flags": "%RESPONSE_FLAGS%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "duration_ms": "%DURATION%",
                    "peer": "%DOWNSTREAM_PEER_URI_SAN%",
                    "upstream": "%UPSTREAM_CLUSTER%",
                    "request_id": "%REQ(X-REQUEST-ID)%",
                    "traceparent": "%REQ(TRACEPARENT)%",
                }
            },
        ),
    }
    if not door.logs_success:
        log["filter"] = _failures()
    return log


def _failures() -> Block:
    status = {
        "status_code_filter": {
            "comparison": {
                "op": "GE",
                "value": {"default_value": 400, "runtime_key": "unused.access_log"},
            }
        }
    }
    grpc = {"grpc_status_filter": {"statuses": ["OK"], "exclude": True}}
    return {"or_filter": {"filters": [status, grpc]}}
