"""Policies that name the API server's own addresses."""

from __future__ import annotations

import pytest
from kube_fakes import made

from paymesh.checks.kube.network import api_server
from paymesh.checks.model import Level
from paymesh.kube.narrow import ANNOTATION, ANY, API_SERVER, endpoints, narrowed, uncovered
from paymesh.kube.objects import Object

_ANYWHERE = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}
_DNS = {"to": [{"podSelector": {}}], "ports": [{"protocol": "UDP", "port": 53}]}


def _policy(*rules: object, marked: bool = True, value: str = API_SERVER) -> Object:
    annotations = {ANNOTATION: value} if marked else {}
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


def test_an_overlay_may_keep_every_address() -> None:
    """Where the control plane's addresses change by themselves, naming them would lock out."""
    wide = _policy(_ANYWHERE, value=ANY)
    assert narrowed(wide, [("10.0.0.1", 6443)]) == wide
    assert uncovered(wide, [("10.0.0.1", 443), ("192.0.2.7", 443)]) == []


def test_an_endpoint_that_has_moved_is_found() -> None:
    """Address and port both count; what is not about the API server is not asked."""
    before, after = [("10.0.0.1", 6443)], [("10.0.0.1", 6443), ("10.0.0.9", 6443)]
    policy = narrowed(_policy(_ANYWHERE, _DNS), before)
    assert uncovered(policy, before) == []
    assert uncovered(policy, after) == [("10.0.0.9", 6443)]
    assert uncovered(policy, [("10.0.0.1", 443)]) == [("10.0.0.1", 443)]
    assert uncovered(_policy(_DNS, marked=False), after) == []


@pytest.mark.parametrize(
    ("rule", "covers"),
    [
        ({}, True),
        ({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, True),
        ({"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/24"]}}]}, False),
        ({"to": [{"namespaceSelector": {}}]}, False),
        ({"ports": [{"protocol": "UDP", "port": 6443}]}, False),
        ({"ports": [{"port": 6000, "endPort": 7000}]}, True),
        ({"ports": [{"port": 6000, "endPort": 6442}]}, False),
        ({"ports": [{"port": "https"}]}, False),
        ({"ports": [{"protocol": "TCP"}]}, True),
    ],
)
def test_rules_cover_as_kubernetes_says(rule: Object, covers: bool) -> None:  # noqa: FBT001
    """Nothing said is everything; exceptions, ranges and protocols are heeded."""
    assert (uncovered(_policy(rule), [("10.0.0.1", 6443)]) == []) == covers


def test_check_says_how_to_follow_the_api_server() -> None:
    """A policy that names yesterday's address is a problem with a mend; a right one is none."""
    policy = narrowed(_policy(_ANYWHERE), [("10.0.0.1", 6443)])
    assert api_server([policy], [("10.0.0.1", 6443)]).level is Level.OK
    found = api_server([policy], [("10.0.0.2", 6443)])
    assert found.level is Level.PROBLEM
    assert "leaves out 10.0.0.2:6443" in str(found.problem)
    assert "paymesh deploy" in str(found.mend)
    assert f"{ANNOTATION}: {ANY}" in str(found.mend)


def test_a_rule_that_leaves_something_out_is_not_widened() -> None:
    """Only the exact wide rule is replaced: one with an exception means something else."""
    careful = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}
    assert narrowed(_policy(careful), [("10.0.0.1", 6443)])["spec"]["egress"] == [careful]


def test_endpoints_are_ipv4_tcp_and_ready() -> None:
    """What a policy of IPv4 blocks cannot name, or nobody answers at, is left out."""
    slices: list[Object] = [
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
