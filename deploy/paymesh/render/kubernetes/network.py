"""NetworkPolicies: nothing in, nothing out, then exactly the edges that the grants imply.

Each edge stands twice, as the caller's way out and as the callee's way in: with
one of them missing, it is closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from paymesh.grants import Grants
from paymesh.mesh import Mesh, Workload
from paymesh.render.kubernetes import common
from paymesh.render.kubernetes.common import NAMESPACE_LABEL, Object, names_selector

# Everybody who has an IPv4 address: end users come from anywhere.
_ANYWHERE = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]
_API_SERVER_PORTS = (443, 6443)
# `paymesh deploy` narrows these rules to the API server's own addresses.
_API_SERVER = {"paymesh.internal/egress": "api-server"}


def workload_policies(mesh: Mesh, grants: Grants) -> list[Object]:
    """The policies of the workloads' namespace but for the ways to providers."""
    workloads = mesh.workloads.values()
    return [
        *_closed_but_for_names(mesh.namespace, "workload"),
        *(_workload(mesh, grants, workload) for workload in workloads),
    ]


def platform_policies(mesh: Mesh) -> list[Object]:
    """The policies of the database, what prepares it, and the bundle server."""
    namespace, ports = common.platform_namespace(mesh), mesh.kubernetes.ports
    with_database = [workload.name for workload in mesh.services() if workload.database]
    preparing = [common.POSTGRES_ROLES, *(common.migration(name) for name in with_database)]
    clients = [_pods(with_database, mesh.namespace), _pods(preparing)]
    services = [workload.name for workload in mesh.services()]
    return [
        *_closed_but_for_names(namespace, "platform"),
        _policy(
            (namespace, common.POSTGRES),
            [common.POSTGRES],
            ingress=[_rule("from", clients, ports["postgres"])],
        ),
        _policy(
            (namespace, "database-preparation"),
            preparing,
            egress=[_rule("to", [_pods([common.POSTGRES])], ports["postgres"])],
        ),
        _policy(
            (namespace, common.BUNDLE_SERVER),
            [common.BUNDLE_SERVER],
            ingress=[_rule("from", [_pods(services, mesh.namespace)], ports["bundle_server"])],
            egress=[_rule("to", _ANYWHERE, *_API_SERVER_PORTS)],
            annotations=_API_SERVER,
        ),
    ]


def simulator_policies(mesh: Mesh) -> list[Object]:
    """The ways to the providers' stand-ins, and their own namespace."""
    outside = mesh.kubernetes.namespaces["outside"]
    ways: dict[str, list[int]] = {
        workload.name: [mesh.external[name].port for name in workload.egress]
        for workload in mesh.services()
        if workload.egress
    }
    return [
        _closed(outside, "outside"),
        _policy(
            (outside, common.SIMULATORS),
            [common.SIMULATORS],
            ingress=[
                _rule("from", [_pods([name], mesh.namespace)], *ports)
                for name, ports in ways.items()
            ],
            component="outside",
        ),
        *(
            _policy(
                (mesh.namespace, f"{name}-providers"),
                [name],
                egress=[_rule("to", [_pods([common.SIMULATORS], outside)], *ports)],
                component="outside",
            )
            for name, ports in ways.items()
        ),
    ]


def _workload(mesh: Mesh, grants: Grants, workload: Workload) -> Object:
    platform, ports = common.platform_namespace(mesh), mesh.kubernetes.ports
    ingress, egress = [], []
    if workload.kind == "gateway":
        ingress.append(_rule("from", _ANYWHERE, workload.port or 0))
    elif workload.kind == "service":
        callers = grants.callers(mesh, workload.name)
        if callers:
            ingress.append(_rule("from", [_pods(callers)], workload.port or 0))
        to = [_pods([common.BUNDLE_SERVER], platform)]
        egress.append(_rule("to", to, ports["bundle_server"]))
        if workload.database:
            egress.append(_rule("to", [_pods([common.POSTGRES], platform)], ports["postgres"]))
    callees = [mesh.workloads[name] for name in grants.callees(mesh, workload.name)]
    egress += [_rule("to", [_pods([callee.name])], callee.port or 0) for callee in callees]
    return _policy(
        (mesh.namespace, workload.name),
        [workload.name],
        ingress=ingress,
        egress=egress,
        component="workload",
    )


def _closed_but_for_names(namespace: str, component: str) -> list[Object]:
    """Nothing in, nothing out, but for asking the cluster's DNS."""
    resolver = {
        "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    dns = _header((namespace, "dns"), component)
    dns["spec"] = {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [resolver],
                "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
            }
        ],
    }
    return [_closed(namespace, component), dns]


def _closed(namespace: str, component: str) -> Object:
    policy = _header((namespace, "default-deny"), component)
    policy["spec"] = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return policy


def _policy(
    name: tuple[str, str],
    pods: Iterable[str],
    *,
    ingress: Iterable[Object] = (),
    egress: Iterable[Object] = (),
    component: str = "platform",
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """A policy, by namespace and name, of the pods with these names."""
    policy = _header(name, component)
    if annotations:
        policy["metadata"]["annotations"] = dict(annotations)
    rules = {"Ingress": list(ingress), "Egress": list(egress)}
    policy["spec"] = {
        "podSelector": names_selector(pods),
        "policyTypes": [direction for direction, found in rules.items() if found],
        **{direction.lower(): found for direction, found in rules.items() if found},
    }
    return policy


def _header(name: tuple[str, str], component: str) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": name[1],
            "namespace": name[0],
            "labels": common.labels(name[1], component),
        },
    }


def _rule(direction: str, peers: list[Object], *ports: int) -> Object:
    return {
        direction: peers,
        "ports": [{"protocol": "TCP", "port": port} for port in ports],
    }


def _pods(names: Iterable[str], namespace: str | None = None) -> Object:
    """The pods with these names; in the policy's own namespace if none is given."""
    peer: Object = {"podSelector": names_selector(names)}
    if namespace is None:
        return peer
    return {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: namespace}}, **peer}
