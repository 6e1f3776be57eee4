"""The edges that there must be, from the grants and from the platform's short list."""

from __future__ import annotations

from paymesh.checker.kubernetes.build import Build

# From, to, protocol, port.
Edge = tuple[str, str, str, int]
# Direction, pod, network, left out of it, ports.
Address = tuple[str, str, str, frozenset[str], frozenset[int]]

_EVERYWHERE = "0.0.0.0/0"
_API_SERVER = frozenset({443, 6443})
_KUBELET = frozenset({10250})
# RFC 6890: what is not the public Internet.
_NOT_PUBLIC = frozenset(
    {
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
    }
)


def expected_edges(build: Build) -> set[Edge]:
    """Edges between pods; of a pod that is not in the build there are none."""
    found = {*_mesh(build), *_platform(build), *_names(build)}
    if "observability" in build.components:
        for service in _services(build):
            found.add((service, "observability/otel-collector", "TCP", 4317))
            found.add(("monitoring/prometheus", service, "TCP", build.port("pdp_diagnostics")))
    if "simulators" in build.components:
        local = build.facts.mesh["local"]["ports"]
        simulators = f"{build.namespace('outside')}/simulators"
        for name, provider in _egress(build):
            port = local[build.facts.mesh["external"][provider]["port_name"]]
            found.add((name, simulators, "TCP", port))
    inside = {pod.name for pod in build.pods}
    others = ("kube-system/", "observability/", "monitoring/")
    return {
        edge for edge in found if all(end in inside or end.startswith(others) for end in edge[:2])
    }


def expected_addresses(build: Build) -> set[Address]:
    """Ways to and from addresses."""
    workloads = build.facts.mesh["workloads"]
    nothing: frozenset[str] = frozenset()
    found: set[Address] = {
        (
            "Ingress",
            f"{build.workloads}/{name}",
            _EVERYWHERE,
            nothing,
            frozenset({int(raw["port"])}),
        )
        for name, raw in workloads.items()
        if raw["kind"] == "gateway"
    }
    api_server = (
        f"{build.namespace('platform')}/bundle-server",
        f"{build.namespace('spire_server')}/spire-server",
    )
    found |= {("Egress", name, _EVERYWHERE, nothing, _API_SERVER) for name in api_server}
    agent = f"{build.namespace('spire_system')}/spire-agent"
    found.add(("Egress", agent, _EVERYWHERE, nothing, _KUBELET))
    if "simulators" not in build.components:
        https = frozenset({build.port("provider")})
        found |= {("Egress", name, _EVERYWHERE, _NOT_PUBLIC, https) for name, _ in _egress(build)}
    if "postgres-external" in build.components:
        found |= _external_database(build)
    inside = {pod.name for pod in build.pods}
    return {address for address in found if address[1] in inside}


def _mesh(build: Build) -> set[Edge]:
    workloads = build.facts.mesh["workloads"]
    return {
        (f"{build.workloads}/{caller}", f"{build.workloads}/{callee}", "TCP", int(raw["port"]))
        for callee, raw in workloads.items()
        if raw["kind"] == "service"
        for caller in build.facts.callers(callee)
    }


def _platform(build: Build) -> set[Edge]:
    platform, workloads = build.namespace("platform"), build.facts.mesh["workloads"]
    database, postgres = f"{platform}/postgres", build.port("postgres")
    found: set[Edge] = {(f"{platform}/postgres-roles", database, "TCP", postgres)}
    for name in _services(build):
        workload = name.partition("/")[2]
        found.add((name, f"{platform}/bundle-server", "TCP", build.port("bundle_server")))
        if workloads[workload].get("database"):
            found.add((name, database, "TCP", postgres))
            found.add((f"{platform}/migrate-{workload}", database, "TCP", postgres))
    agent = f"{build.namespace('spire_system')}/spire-agent"
    server = f"{build.namespace('spire_server')}/spire-server"
    found.add((agent, server, "TCP", build.port("spire_server")))
    return found


def _external_database(build: Build) -> set[Address]:
    """As the component stands: an address for documentation (RFC 5737), until one is put there."""
    workloads = build.facts.mesh["workloads"]
    return {
        ("Egress", pod, "192.0.2.1/32", frozenset(), frozenset({build.port("postgres")}))
        for name in _services(build)
        for workload in (name.partition("/")[2],)
        if workloads[workload].get("database")
        for pod in (name, f"{build.namespace('platform')}/migrate-{workload}")
    }


def _names(build: Build) -> set[Edge]:
    """Who asks the cluster's DNS."""
    asking = {build.workloads, build.namespace("platform")}
    names = {pod.name for pod in build.pods if pod.namespace in asking}
    names.add(f"{build.namespace('spire_system')}/spire-agent")
    return {
        (name, "kube-system/kube-dns", protocol, 53)
        for name in names
        for protocol in ("UDP", "TCP")
    }


def _services(build: Build) -> list[str]:
    workloads = build.facts.mesh["workloads"]
    return [f"{build.workloads}/{name}" for name, w in workloads.items() if w["kind"] == "service"]


def _egress(build: Build) -> list[tuple[str, str]]:
    """Pod and provider, for each that deploy/mesh.yaml names."""
    return [
        (f"{build.workloads}/{name}", provider)
        for name, raw in build.facts.mesh["workloads"].items()
        for provider in raw.get("egress", ())
    ]
