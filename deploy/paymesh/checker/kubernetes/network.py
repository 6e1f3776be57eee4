"""NetworkPolicies, by playing them: who can send to whom, and who takes it.

Every pod of the build meets every other, the cluster's own that are named here,
and strangers: a pod of another name in each namespace, and one of each name in
another namespace.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from paymesh.checker.finding import Findings
from paymesh.checker.kubernetes.build import NAME, Build, Object, describe
from paymesh.checker.kubernetes.edges import Address, Edge, expected_addresses, expected_edges
from paymesh.checker.walk import at, items

_NAMESPACE = "kubernetes.io/metadata.name"
_ELSEWHERE = "default"
_SIDES = (("Egress", "egress", "to"), ("Ingress", "ingress", "from"))
# What stands for everything that is not listed, where nothing is closed.
_OPEN_PORT = ("any", 0)


@dataclasses.dataclass(frozen=True)
class Peer:
    """A pod as a policy sees it."""

    name: str
    namespace: str
    labels: tuple[tuple[str, str], ...]


def check_network(found: Findings, build: Build) -> None:
    """All of it."""
    _check_default_deny(found, build)
    _check_rules(found, build)
    peers = [_peer(pod.namespace, pod.labels) for pod in build.pods]
    everybody = [*peers, *_others(build, peers)]
    expected = expected_edges(build)
    for kind, _, _ in _SIDES:
        own = {peer.name for peer in peers}
        index = 0 if kind == "Egress" else 1
        actual = _edges(build, kind, peers, everybody)
        wanted = {edge for edge in expected if edge[index] in own}
        found.expect(
            actual == wanted,
            f"{kind.lower()}-equals-grants",
            _difference(actual, wanted),
            "edges are the grants' and the listed ones of the platform: run `paymesh render`",
        )
    addresses = _addresses(build, peers)
    wanted_addresses = expected_addresses(build)
    found.expect(
        addresses == wanted_addresses,
        "addresses-listed",
        _difference(addresses, wanted_addresses),
        "a way to addresses is listed, with its ports, in paymesh.checker.kubernetes.edges",
    )


def _check_default_deny(found: Findings, build: Build) -> None:
    for namespace in sorted({pod.namespace for pod in build.pods}):
        closing = [
            policy
            for policy in build.of("NetworkPolicy", namespace)
            if at(policy, "spec", "podSelector") == {}
            and sorted(items(policy, "spec", "policyTypes")) == ["Egress", "Ingress"]
            and not items(policy, "spec", "ingress")
            and not items(policy, "spec", "egress")
        ]
        found.expect(
            closing,
            "default-deny",
            f"{namespace}: a pod that no policy names is open",
            "add a NetworkPolicy with podSelector {}, both policyTypes and no rule",
        )


def _check_rules(found: Findings, build: Build) -> None:
    """Nothing that means everything: no empty rule, peer or list of ports."""
    for policy in build.of("NetworkPolicy"):
        for _, rules, peers in _SIDES:
            for rule in items(policy, "spec", rules):
                ports = items(rule, "ports")
                named = all(
                    isinstance(at(port, "port"), int) and not at(port, "endPort") for port in ports
                )
                found.expect(
                    ports and named and items(rule, peers),
                    "no-rule-for-everything",
                    f"{describe(policy)} has a rule for every port or every peer",
                    "name peers, and ports by number",
                )
                for peer in items(rule, peers):
                    found.expect(
                        at(peer, "ipBlock", "cidr") or at(peer, "podSelector"),
                        "no-rule-for-everything",
                        f"{describe(policy)} has a peer that is every pod: {peer}",
                        "name the pods",
                    )


def _edges(build: Build, kind: str, peers: list[Peer], everybody: list[Peer]) -> set[Edge]:
    """What one side's policies let through; `kind` is Egress or Ingress."""
    found: set[Edge] = set()
    for peer in peers:
        policies = _policies(build, kind, peer)
        if not policies:
            found |= {_edge(kind, peer, other, _OPEN_PORT) for other in everybody}
        for policy in policies:
            for rule, peer_rules in _rules(kind, policy):
                for other in everybody:
                    if any(_matches(policy, rule_peer, other) for rule_peer in peer_rules):
                        found |= {_edge(kind, peer, other, port) for port in _ports(rule)}
    return found


def _addresses(build: Build, peers: list[Peer]) -> set[Address]:
    found: set[Address] = set()
    for kind, _, _ in _SIDES:
        for peer in peers:
            for policy in _policies(build, kind, peer):
                for rule, peer_rules in _rules(kind, policy):
                    for block in (at(p, "ipBlock") for p in peer_rules if at(p, "ipBlock")):
                        excepted = frozenset(items(block, "except"))
                        ports = frozenset(port for _, port in _ports(rule))
                        found.add((kind, peer.name, str(at(block, "cidr")), excepted, ports))
    return found


def _policies(build: Build, kind: str, peer: Peer) -> list[Object]:
    return [
        policy
        for policy in build.of("NetworkPolicy", peer.namespace)
        if kind in _types(policy) and _selects(at(policy, "spec", "podSelector"), peer.labels)
    ]


def _types(policy: Object) -> list[Any]:
    spec = at(policy, "spec") or {}
    return spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]


def _rules(kind: str, policy: Object) -> list[tuple[Object, list[Object]]]:
    rules, peers = next((rules, peers) for k, rules, peers in _SIDES if k == kind)
    # No list of peers means everybody: {} as a namespace selector matches all.
    everybody: list[Object] = [{"namespaceSelector": {}}, {"podSelector": {}}]
    return [(rule, items(rule, peers) or everybody) for rule in items(policy, "spec", rules)]


def _ports(rule: Object) -> list[tuple[str, int]]:
    ports = items(rule, "ports")
    if not ports:
        return [_OPEN_PORT]
    return [(str(at(port, "protocol") or "TCP"), at(port, "port")) for port in ports]


def _edge(kind: str, peer: Peer, other: Peer, port: tuple[str, int]) -> Edge:
    ends = (peer.name, other.name) if kind == "Egress" else (other.name, peer.name)
    return (*ends, *port)


def _matches(policy: Object, rule_peer: Object, other: Peer) -> bool:
    if "ipBlock" in rule_peer:
        return False
    if "namespaceSelector" in rule_peer:
        namespace = ((_NAMESPACE, other.namespace),)
        if not _selects(rule_peer["namespaceSelector"], namespace):
            return False
    elif at(policy, "metadata", "namespace") != other.namespace:
        return False
    return _selects(rule_peer.get("podSelector", {}), other.labels)


def _selects(selector: Any, labels: tuple[tuple[str, str], ...]) -> bool:
    """Label selectors as in the API's LabelSelector."""
    own = dict(labels)
    exact = (at(selector, "matchLabels") or {}).items()
    return all(own.get(key) == value for key, value in exact) and all(
        _expression(expression, own) for expression in items(selector, "matchExpressions")
    )


def _expression(expression: Object, labels: dict[str, str]) -> bool:
    key, values = at(expression, "key"), items(expression, "values")
    match at(expression, "operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return True


def _peer(namespace: str, labels: dict[str, str]) -> Peer:
    name = labels.get(NAME) or labels.get("k8s-app")
    return Peer(f"{namespace}/{name}", namespace, tuple(sorted(labels.items())))


def _others(build: Build, peers: list[Peer]) -> list[Peer]:
    """The cluster's own, strangers, and strangers under a known name."""
    namespaces = {peer.namespace for peer in peers} | {"kube-system", "monitoring", _ELSEWHERE}
    return [
        _peer("kube-system", {"k8s-app": "kube-dns"}),
        _peer("observability", {NAME: "otel-collector"}),
        _peer("monitoring", {NAME: "prometheus"}),
        *(_peer(namespace, {NAME: "stranger"}) for namespace in sorted(namespaces)),
        *(_peer(_ELSEWHERE, dict(peer.labels)) for peer in peers),
        _peer(_ELSEWHERE, {NAME: "prometheus", "k8s-app": "kube-dns"}),
        *(_peer(build.workloads, {NAME: name}) for name in ("kube-dns", "postgres")),
    ]


def _difference(actual: set[Any], wanted: set[Any]) -> str:
    more = [f"more: {_text(edge)}" for edge in sorted(actual - wanted, key=str)]
    less = [f"missing: {_text(edge)}" for edge in sorted(wanted - actual, key=str)]
    return ", ".join([*more[:6], *less[:6]]) or "nothing"


def _text(edge: tuple[Any, ...]) -> str:
    parts = [sorted(part, key=str) if isinstance(part, frozenset) else part for part in edge]
    return " ".join(str(part) for part in parts)
