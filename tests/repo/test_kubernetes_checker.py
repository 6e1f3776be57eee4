"""The checker of built manifests names each property that is broken in a copy."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from repo_kubernetes import COMBINATIONS, ROOT, Built, built, copy_sources
from repo_kubernetes_parts import Mutation
from repo_kubernetes_pods import PODS, RESTRICTED, SHAPES, WORKLOADS
from repo_kubernetes_ways import ADMISSION, IDENTITIES, NETWORK
from repo_mutation import recorded_properties

from paymesh.checker import kubernetes
from paymesh.checker.facts import Facts, read_facts

_MUTATIONS = [*SHAPES, *RESTRICTED, *PODS, *WORKLOADS, *NETWORK, *ADMISSION, *IDENTITIES]


@pytest.fixture(scope="module")
def facts() -> Facts:
    """The sources."""
    return read_facts(ROOT)


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The kind overlay as committed, built once."""
    target = tmp_path_factory.mktemp("kustomize")
    copy_sources(target)
    return built(target, COMBINATIONS[0])


def _properties(facts: Facts, built: Built) -> set[str]:
    found = kubernetes.findings("kind", facts, built.components, built.objects)
    return {finding.property for finding in found}


@pytest.mark.parametrize("mutation", _MUTATIONS, ids=lambda m: m.name)
def test_broken_property_is_named(facts: Facts, kind: Built, mutation: Mutation) -> None:
    """A broken manifest is found out: that property, nothing else."""
    broken = copy.deepcopy(kind)
    mutation.apply(broken.objects)
    assert _properties(facts, broken) == mutation.properties


def test_a_new_grant_without_a_way_is_found(facts: Facts, kind: Built) -> None:
    """Network policies follow the grants: one more grant is one more edge."""
    granted = copy.deepcopy(facts)
    rpc = "/paymesh.ledger.v1.LedgerService/GetBalance"
    granted.grants.append({"id": "new", "caller": "bank-link", "rpc": rpc})
    assert _properties(granted, kind) == {"egress-equals-grants", "ingress-equals-grants"}


def test_a_way_that_no_component_asks_for_is_found(facts: Facts, kind: Built) -> None:
    """What a component opens is open only where the component is."""
    without = Built(kind.components - {"simulators"}, kind.objects)
    assert _properties(facts, without) == {
        "egress-equals-grants",
        "ingress-equals-grants",
        "addresses-listed",
    }


def test_every_property_has_been_broken(
    facts: Facts, kind: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No property that the checker asserts goes without a test that breaks it."""
    asserted = recorded_properties(monkeypatch)
    _properties(facts, kind)
    assert asserted == {name for mutation in _MUTATIONS for name in mutation.properties}


def test_files_on_disk_are_what_is_checked(facts: Facts, tmp_path: Path) -> None:
    """The whole way, from a file to a finding: a hole bored into a copy is found, and printed."""
    copy_sources(tmp_path)
    file = tmp_path / "deploy/k8s/components/network-policies/workloads.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count("port: 18503") == 3
    file.write_text(text.replace("port: 18503", "port: 18502"), encoding="utf-8")
    found = built(tmp_path, COMBINATIONS[0])
    findings = kubernetes.findings("kind", facts, found.components, found.objects)
    assert {str(finding).partition(";")[0].split(": ")[1] for finding in findings} == {
        "egress-equals-grants",
        "ingress-equals-grants",
    }
    assert "more: paymesh/gateway paymesh/bank-link TCP 18502" in str(findings[0])
