"""Properties of what a workload may reach: callees by the grants, externals by name."""

from __future__ import annotations

from paymesh.checker import tls
from paymesh.checker.facts import HEALTH, Facts
from paymesh.checker.finding import Findings
from paymesh.checker.walk import (
    Config,
    addresses,
    at,
    clusters,
    header_match,
    items,
    managers,
    routes,
    seconds,
)

_LOCAL = {"app", "authz", "spire"}


def check_clusters(found: Findings, facts: Facts, workload: str, config: Config) -> None:
    """No cluster too many, none too few, each one verified."""
    raw = facts.mesh["workloads"][workload]
    callees, externals = facts.callees(workload), set(raw.get("egress", ()))
    local = _LOCAL if facts.kind(workload) == "service" else {"spire"}
    present = clusters(config)
    found.equal(
        "clusters-match-grants",
        set(present),
        local | callees | externals,
        "Envoy may know the granted callees and the named externals, and nobody else",
    )
    for name, cluster in present.items():
        _check_limits(found, name, cluster)
        if name in callees:
            port = facts.mesh["workloads"][name]["port"]
            _check_address(found, facts, name, cluster, port)
            tls.check_caller_side(found, facts, workload, name, cluster)
        elif name in externals:
            external = facts.mesh["external"][name]
            port = facts.mesh["local"]["ports"][external["port_name"]]
            _check_address(found, facts, name, cluster, port)
            tls.check_external_side(found, external["host"], cluster)
    found.equal(
        "spire-on-unix-socket",
        addresses(present.get("spire", {})),
        [{"pipe": {"path": "../spire-agent/api.sock"}}],
    )


def check_outbound(found: Findings, facts: Facts, workload: str, listener: Config) -> None:
    """The app's way to its callees."""
    found.equal("listener-address", at(listener, "address", "pipe", "path"), "outbound.sock")
    expected = {
        (callee, f"/{facts.mesh['workloads'][callee]['rpc_service']}/")
        for callee in facts.callees(workload)
    }
    if HEALTH in facts.granted(workload):
        expected |= {(callee, HEALTH) for callee in facts.callees(workload)}
    actual = set()
    for manager in managers(listener):
        for route in routes(manager):
            if "route" not in route:
                continue
            match, cluster = at(route, "match"), at(route, "route", "cluster")
            actual.add((cluster, at(match, "prefix") or at(match, "path")))
            if at(match, "path") == HEALTH:
                authority = at(header_match(route, ":authority"), "string_match", "exact")
                found.equal("health-of-the-named", authority, facts.server_name(cluster))
    found.equal(
        "outbound-matches-grants",
        actual,
        expected,
        "each granted callee's RPC service to its own cluster, and nothing else",
    )


def check_egress(found: Findings, facts: Facts, workload: str, listener: Config) -> None:
    """The app's way out of the mesh."""
    found.equal("listener-address", at(listener, "address", "pipe", "path"), "egress.sock")
    named = facts.mesh["workloads"][workload].get("egress", ())
    expected = {(facts.mesh["external"][name]["host"], name) for name in named}
    actual = set()
    for manager in managers(listener):
        for host in items(manager, "route_config", "virtual_hosts"):
            for route in items(host, "routes"):
                if "route" in route:
                    cluster = at(route, "route", "cluster")
                    actual |= {(domain, cluster) for domain in items(host, "domains")}
    found.equal(
        "egress-matches-mesh",
        actual,
        expected,
        "each named host to its own cluster, and nothing else",
    )


def _check_address(found: Findings, facts: Facts, name: str, cluster: Config, port: int) -> None:
    expected = [{"socket_address": {"address": facts.mesh["local"]["address"], "port_value": port}}]
    found.equal(
        "cluster-address", addresses(cluster), expected, f"{name} is elsewhere in mesh.yaml"
    )


def _check_limits(found: Findings, name: str, cluster: Config) -> None:
    found.expect(
        seconds(at(cluster, "connect_timeout")) < float("inf"),
        "connects-bounded",
        f"cluster {name} has no connect timeout",
    )
    breaker = at(cluster, "circuit_breakers", "thresholds", 0)
    limits = ("max_connections", "max_pending_requests", "max_requests", "retry_budget")
    missing = [limit for limit in limits if not at(breaker, limit)]
    found.expect(not missing, "circuit-breakers", f"cluster {name} has no {', '.join(missing)}")
