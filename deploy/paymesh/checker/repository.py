"""The whole check: every generated file against the sources."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from paymesh.checker import doors, gateway, inbound, outside, pods
from paymesh.checker.entries import check_entries
from paymesh.checker.facts import Facts, read_facts, read_yaml
from paymesh.checker.finding import Finding, Findings
from paymesh.checker.walk import Config, at, items, listeners

_KUSTOMIZATION = "kustomization.yaml"


@dataclasses.dataclass
class Repository:
    """The sources and the generated files, parsed."""

    facts: Facts
    envoy: dict[str, Config]
    # The same for pods, and what is beside the gateway's.
    pods: dict[str, Config]
    certificate: Config
    kustomization: Any
    entries: Any


def check(root: Path) -> list[Finding]:
    """What does not hold in the checkout at `root`; empty if all is well."""
    return findings(read(root))


def read(root: Path) -> Repository:
    """Parses the checkout at `root`; a file that is missing is an empty one."""
    files = {path.name: path for path in sorted((root / "envoy").glob("*.yaml"))}
    kustomization = files.pop(_KUSTOMIZATION, None)
    in_pods = {
        path.stem: read_yaml(path) or {} for path in (root / "envoy" / "kubernetes").glob("*.yaml")
    }
    entries = root / "spire" / "entries.json"
    return Repository(
        facts=read_facts(root),
        envoy={path.stem: read_yaml(path) or {} for path in files.values()},
        certificate=in_pods.pop("gateway-tls", {}),
        pods=in_pods,
        kustomization=read_yaml(kustomization) if kustomization else {},
        entries=read_yaml(entries) if entries.is_file() else {},
    )


def findings(repository: Repository) -> list[Finding]:
    """What does not hold, sorted by file and property."""
    facts = repository.facts
    found: list[Finding] = []
    for directory, present in (("envoy", repository.envoy), ("envoy/kubernetes", repository.pods)):
        files = Findings(directory)
        files.equal(
            "one-file-for-each-sidecar",
            set(present),
            set(facts.sidecars),
            "run `paymesh render`, which also removes files of workloads that are gone",
        )
        found += files.found
    for workload in facts.sidecars:
        if workload in repository.envoy:
            file = Findings(f"envoy/{workload}.yaml")
            found += _envoy(file, facts, workload, repository.envoy[workload])
        if workload in repository.pods:
            file, config = Findings(f"envoy/kubernetes/{workload}.yaml"), repository.pods[workload]
            config = pods.as_here(file, facts, workload, config, repository.certificate)
            found += _envoy(file, facts, workload, config)
    found += _kustomization(facts, repository.kustomization)
    entries = Findings("spire/entries.json")
    check_entries(entries, facts, repository.entries)
    return sorted({*found, *entries.found})


def _envoy(found: Findings, facts: Facts, workload: str, config: Config) -> list[Finding]:
    doors.check_admin(found, config)
    found.expect(
        items(config, "overload_manager", "resource_monitors")
        and items(config, "overload_manager", "actions"),
        "overload-manager",
        "nothing sheds load before the machine runs out of memory",
    )
    found.expect(
        not at(config, "dynamic_resources"),
        "configuration-static",
        "listeners or clusters come from somewhere else",
        "leave dynamic_resources out",
    )
    present = listeners(config)
    found.equal(
        "listeners-expected",
        set(present),
        _expected_listeners(facts, workload),
        "a door that nobody asked for, or one that is missing",
    )
    for name, listener in present.items():
        doors.check_door(found, facts, name, listener)
    if "inbound" in present:
        inbound.check_inbound(found, facts, workload, config, present["inbound"])
    if "outbound" in present:
        outside.check_outbound(found, facts, workload, present["outbound"])
    if "egress" in present:
        outside.check_egress(found, facts, workload, present["egress"])
    if "public" in present:
        gateway.check_public(found, facts, workload, present["public"])
    outside.check_clusters(found, facts, workload, config)
    return found.found


def _expected_listeners(facts: Facts, workload: str) -> set[str]:
    expected = {"outbound"}
    if facts.kind(workload) == "gateway":
        expected.add("public")
    elif facts.callers(workload):
        expected.add("inbound")
    if facts.mesh["workloads"][workload].get("egress"):
        expected.add("egress")
    return expected


def _kustomization(facts: Facts, data: Any) -> list[Finding]:
    found = Findings(f"envoy/{_KUSTOMIZATION}")
    actual = {at(g, "name"): at(g, "files") for g in items(data, "configMapGenerator")}
    expected = {f"envoy-{name}": [f"envoy.yaml=kubernetes/{name}.yaml"] for name in facts.sidecars}
    for name in facts.sidecars:
        if facts.kind(name) == "gateway":
            expected[f"envoy-{name}"].append(f"tls.yaml=kubernetes/{name}-tls.yaml")
    found.equal("config-maps", actual, expected)
    return found.found
