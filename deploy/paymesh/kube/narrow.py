"""Policies that name the API server's own addresses.

The committed manifests cannot know where a cluster's API server stands, and a
NetworkPolicy cannot name it: its Service address is replaced by the endpoint's
before policies look, on most networks. So they allow 0.0.0.0/0 at 443 and 6443,
and a deployment writes the endpoints in place of that. Where those change by
themselves, as a managed control plane's may, an overlay says `api-server-any`, and
the wide rule stays.
"""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterable

from paymesh.kube.client import Cluster
from paymesh.kube.objects import Object, annotation

ANNOTATION = "paymesh.internal/egress"
API_SERVER = "api-server"
ANY = "api-server-any"
_ANYWHERE = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]


def current(cluster: Cluster) -> list[tuple[str, int]]:
    """Where a cluster's API server stands now, as `endpoints`.

    Raises:
        ClusterError: it does not say.
    """
    return endpoints(
        cluster.items(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            "default",
            labels="kubernetes.io/service-name=kubernetes",
        )
    )


def endpoints(slices: Iterable[Object]) -> list[tuple[str, int]]:
    """IPv4 addresses and TCP ports of the Service `default/kubernetes`, sorted.

    Args:
        slices: its EndpointSlices (discovery.k8s.io/v1).
    """
    found: set[tuple[str, int]] = set()
    for item in slices:
        if item.get("addressType") != "IPv4":
            continue
        ports = [p["port"] for p in item.get("ports") or () if p.get("protocol", "TCP") == "TCP"]
        for endpoint in item.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready", True):
                found |= {(address, port) for address in endpoint["addresses"] for port in ports}
    return sorted(found)


def narrowed(policy: Object, api_server: Iterable[tuple[str, int]]) -> Object:
    """The policy with the API server's endpoints where it allows every address.

    A policy without the annotation comes back as it is, and so does every rule that
    names something else; without endpoints nothing is narrowed.
    """
    known = sorted(api_server)
    if annotation(policy, ANNOTATION) != API_SERVER or not known:
        return policy
    changed = copy.deepcopy(policy)
    rules: list[Object] = []
    for rule in changed["spec"].get("egress") or ():
        rules += _rules(known) if rule.get("to") == _ANYWHERE else [rule]
    changed["spec"]["egress"] = rules
    return changed


def uncovered(policy: Object, api_server: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those of the API server's endpoints that no egress rule of the policy lets its pods reach.

    A policy with neither of the annotation's values has none: it is not about the API server.
    """
    if annotation(policy, ANNOTATION) not in {API_SERVER, ANY}:
        return []
    rules = policy["spec"].get("egress") or ()
    return [
        (address, port)
        for address, port in sorted(api_server)
        if not any(_has_port(rule, port) and _has_address(rule, address) for rule in rules)
    ]


def _has_port(rule: Object, port: int) -> bool:
    """A rule without ports is every port's, and a port without a protocol is TCP's."""
    ports = rule.get("ports") or [{"port": port}]
    return any(
        item.get("protocol", "TCP") == "TCP"
        and item.get("port", port) <= port <= item.get("endPort", item.get("port", port))
        for item in ports
        if not isinstance(item.get("port"), str)
    )


def _has_address(rule: Object, address: str) -> bool:
    """A rule without peers is every address's; pods and namespaces are no addresses."""
    if not rule.get("to"):
        return True
    blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
    return any(
        _in(address, block["cidr"])
        and not any(_in(address, left_out) for left_out in block.get("except") or ())
        for block in blocks
    )


def _in(address: str, cidr: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(cidr, strict=False)


def _rules(known: list[tuple[str, int]]) -> list[Object]:
    """One rule for each port: a rule is every address of it at every port of it."""
    return [
        {
            "to": [
                {"ipBlock": {"cidr": f"{address}/32"}} for address, other in known if other == port
            ],
            "ports": [{"protocol": "TCP", "port": port}],
        }
        for port in sorted({port for _, port in known})
    ]
