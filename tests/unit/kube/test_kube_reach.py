"""Who may connect to whom by NetworkPolicies."""

from __future__ import annotations

from typing import Any

import pytest
from kube_fakes import made

from paymesh.checks.kube.reach import Pod, matches, may_connect
from paymesh.kube.objects import Object

_NAME = "app.kubernetes.io/name"
_LEDGER = Pod("paymesh", {_NAME: "ledger"})
_PAYMENTS = Pod("paymesh", {_NAME: "payments"})
_ELSEWHERE = Pod("default", {_NAME: "payments"})


def _named(name: str) -> dict[str, Any]:
    return {"matchLabels": {_NAME: name}}


def _policy(name: str, **spec: Any) -> Object:
    return made("NetworkPolicy", name, spec=spec)


_DENY = _policy("deny", podSelector={}, policyTypes=["Ingress", "Egress"])
_IN = _policy(
    "in",
    podSelector=_named("ledger"),
    policyTypes=["Ingress"],
    ingress=[{"from": [{"podSelector": _named("payments")}], "ports": [{"port": 18502}]}],
)
_OUT = _policy(
    "out",
    podSelector=_named("payments"),
    policyTypes=["Egress"],
    egress=[{"to": [{"podSelector": _named("ledger")}], "ports": [{"port": 18502}]}],
)


def test_both_ends_have_to_allow_it() -> None:
    """Either alone opens nothing."""
    assert may_connect([_DENY, _IN, _OUT], _PAYMENTS, _LEDGER, 18502)
    assert not may_connect([_DENY, _IN], _PAYMENTS, _LEDGER, 18502)
    assert not may_connect([_DENY, _OUT], _PAYMENTS, _LEDGER, 18502)


def test_port_direction_and_namespace_count() -> None:
    """Another port, the way back and the same labels elsewhere are closed."""
    policies = [_DENY, _IN, _OUT]
    assert not may_connect(policies, _PAYMENTS, _LEDGER, 18501)
    assert not may_connect(policies, _LEDGER, _PAYMENTS, 18502)
    assert not may_connect(policies, _ELSEWHERE, _LEDGER, 18502)


def test_pods_without_a_policy_are_open() -> None:
    """That is Kubernetes' own default, and what a missing default-deny means."""
    assert may_connect([], _PAYMENTS, _LEDGER, 1)
    assert may_connect([_IN], Pod("paymesh", {_NAME: "payments"}), _LEDGER, 18502)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"from": []},
        {"from": [{"namespaceSelector": {}}]},
        {"from": [{"podSelector": {}}], "ports": []},
        {"from": [{"podSelector": {}}], "ports": [{"port": 1, "endPort": 65535}]},
        {"from": [{"podSelector": {}}], "ports": [{"port": "mesh"}]},
    ],
)
def test_what_is_left_out_of_a_rule_means_everything(rule: dict[str, Any]) -> None:
    """The ways in which a rule becomes wide are seen as wide."""
    wide = _policy("w", podSelector=_named("ledger"), policyTypes=["Ingress"], ingress=[rule])
    stranger = Pod("paymesh", {_NAME: "stranger"})
    assert may_connect([wide], stranger, _LEDGER, 18502)


def test_an_address_block_is_no_pod() -> None:
    """It is for whoever comes from outside."""
    rule = {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    policy = _policy("w", podSelector={}, policyTypes=["Ingress"], ingress=[rule])
    assert not may_connect([policy], _PAYMENTS, _LEDGER, 18502)


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [
        ("In", ["ledger"], True),
        ("In", ["payments"], False),
        ("NotIn", ["payments"], True),
        ("NotIn", ["ledger"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
    ],
)
def test_expressions_are_understood(operator: str, values: list[str], *, fits: bool) -> None:
    """As in the label selectors' documentation."""
    selector = {"matchExpressions": [{"key": _NAME, "operator": operator, "values": values}]}
    assert matches(selector, _LEDGER.labels) is fits
