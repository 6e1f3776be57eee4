"""The whole check of a built kustomization against the sources."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from paymesh.checker.facts import Facts
from paymesh.checker.finding import Finding, Findings
from paymesh.checker.kubernetes.admission import check_admission
from paymesh.checker.kubernetes.build import Build, Object
from paymesh.checker.kubernetes.identities import check_identities
from paymesh.checker.kubernetes.network import check_network
from paymesh.checker.kubernetes.pods import check_pods
from paymesh.checker.kubernetes.schema import check_schema
from paymesh.checker.kubernetes.workloads import check_workloads

__all__ = ["Build", "components", "findings"]


def components(kustomization: Object) -> frozenset[str]:
    """The names of the components that a kustomization lists."""
    return frozenset(Path(path).name for path in kustomization.get("components", ()))


def findings(
    name: str, facts: Facts, built_with: Iterable[str], objects: list[Object]
) -> list[Finding]:
    """What does not hold of the objects that would be applied, sorted.

    Args:
        name: of the kustomization, for the findings.
        facts: the sources.
        built_with: names of the components, such as `simulators`: see `components`.
        objects: as kustomize builds them.
    """
    build = Build(name, facts, frozenset(built_with), objects)
    found = Findings(name)
    for check in (
        check_schema,
        check_pods,
        check_workloads,
        check_network,
        check_admission,
        check_identities,
    ):
        check(found, build)
    return sorted(set(found.found))
