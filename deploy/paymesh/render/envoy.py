"""One workload's whole Envoy configuration."""

from __future__ import annotations

from paymesh.grants import Grants
from paymesh.mesh import Mesh, Workload
from paymesh.render import clusters, listeners
from paymesh.render.blocks import ADMIN_SOCKET, Block, Plan, extension, listening_pipe, seconds
from paymesh.render.rpcs import Rpc

# How Envoy is started, beside `--config-path envoy.yaml`, in the workload's
# runtime directory. One thread per Envoy: a machine has many sidecars.
ENVOY_ARGS = (
    "--concurrency",
    "1",
    "--disable-hot-restart",
    "--log-level",
    "warning",
    "--drain-time-s",
    "5",
    # Who looks at the log wants to see the call that was just refused.
    "--file-flush-interval-msec",
    "500",
)

HEAP_BYTES = 128 * 1024 * 1024

# Every statistic costs memory; these are what `check`, dashboards and drills read.
_STATISTICS = (
    {"prefix": "server.live"},
    {"prefix": "server.memory"},
    {"prefix": "server.uptime"},
    {"suffix": ".downstream_cx_total"},
    {"suffix": ".downstream_cx_active"},
    {"suffix": ".downstream_rq_xx"},
    {"suffix": ".downstream_rq_total"},
    {"suffix": ".downstream_rq_active"},
    {"suffix": ".downstream_rq_time"},
    {"suffix": ".upstream_cx_total"},
    {"suffix": ".upstream_cx_connect_fail"},
    {"suffix": ".upstream_rq_total"},
    {"suffix": ".upstream_rq_pending_overflow"},
    {"suffix": ".upstream_rq_retry"},
    # Both are read by Envoy's own health_check filter too.
    {"suffix": ".membership_healthy"},
    {"suffix": ".membership_total"},
    {"suffix": ".ext_authz.ok"},
    {"suffix": ".ext_authz.denied"},
    {"suffix": ".ext_authz.error"},
    {"suffix": ".jwt_authn.allowed"},
    {"suffix": ".jwt_authn.denied"},
    {"prefix": "sds."},
    {"suffix": ".rate_limited"},
    {"suffix": ".ssl.handshake"},
    {"suffix": ".ssl.connection_error"},
    {"suffix": ".ssl.fail_verify_san"},
    {"suffix": ".ssl.fail_verify_no_cert"},
    {"suffix": ".ssl.fail_verify_error"},
    {"contains": "overload."},
)


def envoy_config(mesh: Mesh, grants: Grants, rpcs: tuple[Rpc, ...], workload: Workload) -> Block:
    """The configuration of `workload`'s Envoy, in the shape of Envoy's Bootstrap.

    Raises:
        ValueError: the workload has no Envoy.
    """
    if workload.kind == "job":
        raise ValueError(f"{workload.name} is a job: it has no Envoy")
    plan = Plan(mesh, grants, rpcs, workload)
    externals = [mesh.external[name] for name in workload.egress]
    doors = listeners.public(plan) if workload.kind == "gateway" else listeners.inbound(plan)
    return {
        "node": {"id": workload.name, "cluster": mesh.namespace},
        "admin": {"address": listening_pipe(ADMIN_SOCKET)},
        "static_resources": {
            "listeners": [
                *doors,
                *listeners.outbound(plan),
                *listeners.egress(plan, externals),
            ],
            "clusters": [
                *clusters.local_clusters(plan),
                *(clusters.callee_cluster(plan, callee) for callee in plan.callees),
                *(clusters.external_cluster(plan, external) for external in externals),
            ],
        },
        "overload_manager": _overload_manager(plan),
        "stats_config": {
            "stats_matcher": {"inclusion_list": {"patterns": [dict(p) for p in _STATISTICS]}}
        },
    }


def _overload_manager(plan: Plan) -> Block:
    """Sheds load before the machine has to: connections first, then requests by heap."""
    return {
        "refresh_interval": seconds(0.25),
        "resource_monitors": [
            extension(
                "envoy.resource_monitors.fixed_heap",
                "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=HEAP_BYTES,
            ),
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                "envoy.extensions.resource_monitors.downstream_connections.v3"
                ".DownstreamConnectionsConfig",
                max_active_downstream_connections=plan.mesh.limits.max_connections,
            ),
        ],
        "actions": [
            _action("envoy.overload_actions.shrink_heap", 0.9),
            _action("envoy.overload_actions.stop_accepting_requests", 0.95),
        ],
    }


def _action(name: str, threshold: float) -> Block:
    return {
        "name": name,
        "triggers": [
            {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}
        ],
    }
