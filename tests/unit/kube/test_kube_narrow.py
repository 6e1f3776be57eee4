"""Policies that name the API server's own addresses."""

from __future__ import annotations

from kube_fakes import made

from paymesh.kube.narrow import ANNOTATION, endpoints, narrowed
from paymesh.kube.objects import Object

_ANYWHERE = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}
_DNS = {"to": [{"podSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}]}


def _policy(*rules: object, marked: bool = True) -> Object:
    annotations = {ANNOTATION: "api-server"} if marked else {}
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": list(rules)}
    return made("NetworkPolicy", "p", metadata={"annotations": annotations}, spec=spec)


def test_every_address_becomes_the_endpoints() -> None:
    """The wide rule goes, one rule for each port comes, and other rules stay."""
    found = narrowed(_policy(_ANYWHERE, _DNS), [("10.0.0.2", 6443), ("10.0.0.1", 6443)])
    assert found["spec"]["egress"] == [
        {
            "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}, {"ipBlock": {"cidr": "10.0.0.2/32"}}],
            "ports": [{"protocol": "TCP", "port": 6443}],
        },
        _DNS,
    ]


def test_ports_do_not_mix() -> None:
    """An address is allowed at its own port only."""
    found = narrowed(_policy(_ANYWHERE), [("10.0.0.1", 6443), ("10.0.0.2", 443)])
    pairs = [
        (rule["to"][0]["ipBlock"]["cidr"], rule["ports"][0]["port"])
        for rule in found["spec"]["egress"]
    ]
    assert pairs == [("10.0.0.2/32", 443), ("10.0.0.1/32", 6443)]


def test_others_stay_as_they_are() -> None:
    """Without the annotation, or without endpoints, nothing changes; nor does the argument."""
    plain, marked = _policy(_ANYWHERE, marked=False), _policy(_ANYWHERE)
    assert narrowed(plain, [("10.0.0.1", 6443)]) == plain
    assert narrowed(marked, []) == marked
    before = _policy(_ANYWHERE)
    narrowed(marked, [("10.0.0.1", 6443)])
    assert marked == before


def test_a_rule_that_leaves_something_out_is_not_widened() -> None:
    """Only the exact wide rule is replaced: one with an exception means something else."""
    careful = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}
    assert narrowed(_policy(careful), [("10.0.0.1", 6443)])["spec"]["egress"] == [careful]


def test_endpoints_are_ipv4_tcp_and_ready() -> None:
    """What a policy of IPv4 blocks cannot name, or nobody answers at, is left out."""
    slices = [
        {
            "addressType": "IPv4",
            "ports": [{"port": 6443}, {"port": 53, "protocol": "UDP"}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
                {"addresses": ["10.0.0.9"], "conditions": {"ready": False}},
                {"addresses": ["10.0.0.2"]},
            ],
        },
        {"addressType": "IPv6", "ports": [{"port": 6443}], "endpoints": [{"addresses": ["::1"]}]},
    ]
    assert endpoints(slices) == [("10.0.0.1", 6443), ("10.0.0.2", 6443)]
