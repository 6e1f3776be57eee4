"""Policies that name the API server's own addresses.

The committed manifests cannot know where a cluster's API server stands, and a
NetworkPolicy cannot name it: its Service address is replaced by the endpoint's
before policies look, on most networks. So they allow 0.0.0.0/0 at 443 and 6443,
and a deployment writes the endpoints in place of that.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from paymesh.kube.objects import Object, annotation

ANNOTATION = "paymesh.internal/egress"
_API_SERVER = "api-server"
_ANYWHERE = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]


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
    if annotation(policy, ANNOTATION) != _API_SERVER or not known:
        return policy
    changed = copy.deepcopy(policy)
    rules: list[Object] = []
    for rule in changed["spec"].get("egress") or ():
        rules += _rules(known) if rule.get("to") == _ANYWHERE else [rule]
    changed["spec"]["egress"] = rules
    return changed


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
