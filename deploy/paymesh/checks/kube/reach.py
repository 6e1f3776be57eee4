"""Who may connect to whom by the NetworkPolicies of a cluster, worked out as Kubernetes says
("Network Policies": both ends have to allow it, and a pod that no policy selects allows all).

Pods and peers by labels only: an address block is a way to or from outside of the cluster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from paymesh.kube.objects import Object

_NAMESPACE = "kubernetes.io/metadata.name"


@dataclasses.dataclass(frozen=True)
class Pod:
    """A pod as policies see it."""

    namespace: str
    labels: Mapping[str, str]


def may_connect(policies: Iterable[Object], source: Pod, target: Pod, port: int) -> bool:
    """Whether `source` may open a TCP connection to this port of `target`."""
    known = list(policies)
    return _allows(known, source, target, port, "Egress") and _allows(
        known, target, source, port, "Ingress"
    )


def _allows(
    policies: list[Object],
    subject: Pod,
    other: Pod,
    port: int,
    direction: Literal["Ingress", "Egress"],
) -> bool:
    """Whether the policies of one end allow the other."""
    about = [policy for policy in policies if _applies(policy, subject, direction)]
    if not about:
        return True
    peers = "from" if direction == "Ingress" else "to"
    return any(
        _has_peer(rule.get(peers), policy["metadata"]["namespace"], other)
        and _has_port(rule.get("ports"), port)
        for policy in about
        for rule in policy["spec"].get(direction.lower()) or ()
    )


def _applies(policy: Object, pod: Pod, direction: str) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    return (
        direction in types
        and policy["metadata"]["namespace"] == pod.namespace
        and matches(spec.get("podSelector") or {}, pod.labels)
    )


def _has_peer(peers: Any, namespace: str, pod: Pod) -> bool:
    """No list of peers means everybody."""
    if not peers:
        return True
    return any("ipBlock" not in peer and _is_peer(peer, namespace, pod) for peer in peers)


def _is_peer(peer: Mapping[str, Any], namespace: str, pod: Pod) -> bool:
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"] or {}, {_NAMESPACE: pod.namespace}):
            return False
    elif pod.namespace != namespace:
        return False
    return matches(peer.get("podSelector") or {}, pod.labels)


def _has_port(ports: Any, wanted: int) -> bool:
    """No list of ports means all of them; a port by name counts as any, to be careful."""
    if not ports:
        return True
    for found in ports:
        if found.get("protocol", "TCP") != "TCP":
            continue
        number = found.get("port")
        if not isinstance(number, int) or number <= wanted <= found.get("endPort", number):
            return True
    return False


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A label selector (meta/v1) on labels; an empty one selects everything."""
    for name, value in (selector.get("matchLabels") or {}).items():
        if labels.get(name) != value:
            return False
    return all(_fits(term, labels) for term in selector.get("matchExpressions") or ())


def _fits(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    has, values = labels.get(term["key"]), term.get("values") or []
    match term["operator"]:
        case "In":
            return has in values
        case "NotIn":
            return has not in values
        case "Exists":
            return has is not None
        case "DoesNotExist":
            return has is None
        case _:
            return False
