"""Routes: exact paths where the RPCs are known, and a refusal for all the rest."""

from __future__ import annotations

from typing import Any

from paymesh.render.blocks import HEALTH_CHECK, Block, Plan, extension, seconds
from paymesh.render.filters import ext_authz_without_body
from paymesh.render.replies import (
    COMPRESSION_REFUSED,
    MALFORMED_REQUEST,
    NO_ROUTE,
    UNKNOWN_RPC,
    Reply,
)

# Spoken by every service beside its own RPCs.
COMMON_SERVICES = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")

# "Timeout" of https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
_TIMEOUT = "[0-9]{1,8}[HMSmun]"
RETRIES = 2
HOST_PICKS = 5


def inbound_routes(plan: Plan) -> Block:
    """To the app: its own RPCs, health and reflection, by exact path."""
    services = (plan.workload.rpc_service, *COMMON_SERVICES)
    routes = [refuse_compressed(plan), refuse_timeout(plan)]
    for rpc in plan.rpcs:
        if rpc.service not in services:
            continue
        route = _route(plan, {"path": rpc.path}, "app", _exactly(rpc.path))
        if rpc.client_streaming:
            route["typed_per_filter_config"] = ext_authz_without_body()
        routes.append(route)
    return table("inbound", [*routes, refuse_rest(plan, UNKNOWN_RPC)])


def outbound_routes(plan: Plan) -> Block:
    """To the granted callees, by RPC service: which of its RPCs, the callee's policy decides."""
    routes = []
    for callee in plan.callees:
        if plan.asks_health:
            # Health belongs to every service: the caller names the one it means.
            authority: Block = {
                "name": ":authority",
                "string_match": {"exact": plan.server_name(callee.name)},
            }
            routes.append(_to(plan, {"path": HEALTH_CHECK}, callee.name, authority))
        routes.append(_to(plan, {"prefix": f"/{callee.rpc_service}/"}, callee.name))
    return table("outbound", [*routes, refuse_rest(plan, NO_ROUTE)])


def gateway_routes(plan: Plan) -> Block:
    """For end users: exactly the RPCs that the gateway has a grant for."""
    granted = {g.rpc for g in plan.grants.grants if g.caller == plan.workload.name}
    routes = [refuse_compressed(plan), refuse_timeout(plan)]
    for rpc in plan.rpcs:
        callee = plan.mesh.service_of(rpc.path)
        if callee is not None and rpc.path in granted:
            routes.append(_to(plan, {"path": rpc.path}, callee.name, _exactly(rpc.path)))
    return table("public", [*routes, refuse_rest(plan, UNKNOWN_RPC)])


def table(name: str, routes: list[Block]) -> Block:
    """A route table of one virtual host for any authority."""
    return {
        "name": name,
        "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}],
    }


def refuse_rest(plan: Plan, reply: Reply) -> Block:
    """The last route: everything that no other one took."""
    return _refusal(plan, {"prefix": "/"}, reply)


def refuse_compressed(plan: Plan) -> Block:
    """A message that policy cannot read is not passed on."""
    encoding: Block = {
        "name": "grpc-encoding",
        "string_match": {"exact": "identity"},
        "invert_match": True,
        "treat_missing_header_as_empty": False,
    }
    return _refusal(plan, {"prefix": "/", "headers": [encoding]}, COMPRESSION_REFUSED)


def refuse_timeout(plan: Plan) -> Block:
    """A deadline that gRPC's server cannot parse does not get there: it refuses it with a status
    of its own, and over a connection that all callers share.
    """
    timeout: Block = {
        "name": "grpc-timeout",
        "string_match": {"safe_regex": {"regex": _TIMEOUT}},
        "invert_match": True,
        "treat_missing_header_as_empty": False,
    }
    return _refusal(plan, {"prefix": "/", "headers": [timeout]}, MALFORMED_REQUEST)


def _grpc_only(match: Block, *headers: Block) -> Block:
    """Narrows a match to gRPC calls."""
    post: Block = {"name": ":method", "string_match": {"exact": "POST"}}
    return {**match, "grpc": {}, "headers": [post, *headers]}


def _exactly(path: str) -> Block:
    """Envoy leaves the query out when it matches a path; this does not."""
    return {"name": ":path", "string_match": {"exact": path}}


def _refusal(plan: Plan, match: Block, reply: Reply) -> Block:
    return {
        "match": match,
        "direct_response": {
            "status": int(reply.http_status),
            "body": {"inline_string": reply.message},
        },
        "response_headers_to_add": reply.headers(plan.mesh.trust_domain),
    }


def _to(plan: Plan, match: Block, callee: str, *headers: Block) -> Block:
    return _route(
        plan,
        match,
        callee,
        *headers,
        host_rewrite_literal=plan.server_name(callee),
        retry_policy={
            # Only what has certainly not been executed is tried again.
            "retry_on": "connect-failure,refused-stream",
            "num_retries": RETRIES,
            "retry_back_off": {"base_interval": seconds(0.025), "max_interval": seconds(0.25)},
            # Another endpoint if there is one; after so many picks, whichever was picked.
            "retry_host_predicate": [
                extension(
                    "envoy.retry_host_predicates.previous_hosts",
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                )
            ],
            "host_selection_retry_max_attempts": HOST_PICKS,
        },
    )


def _route(plan: Plan, match: Block, cluster: str, *headers: Block, **action: Any) -> Block:
    timeout = seconds(plan.mesh.limits.request_timeout_seconds)
    return {
        "match": _grpc_only(match, *headers),
        "route": {
            "cluster": cluster,
            "timeout": timeout,
            # The caller's own deadline, and never longer than ours.
            "max_stream_duration": {"grpc_timeout_header_max": timeout},
            **action,
        },
    }
