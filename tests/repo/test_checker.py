"""The checker finds nothing in the committed files, and each broken property by its name."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from repo_mutation import Mutation, recorded_properties
from repo_mutations_doors import DOORS, TLS
from repo_mutations_pods import PODS
from repo_mutations_ways import OUTSIDE, POLICY, PUBLIC

from paymesh import checker
from paymesh.checker import Repository
from paymesh.mesh import repository_root

ROOT = repository_root()
ENTRIES = "spire/entries.json"
_MUTATIONS = [*DOORS, *TLS, *POLICY, *OUTSIDE, *PUBLIC]


@pytest.fixture(scope="module")
def committed() -> Repository:
    """The committed files, parsed once."""
    return checker.read(ROOT)


def test_committed_files_have_no_finding(committed: Repository) -> None:
    """Everything that must hold holds of what is committed."""
    assert checker.findings(committed) == []


@pytest.mark.parametrize("mutation", _MUTATIONS, ids=lambda m: "+".join(m.properties))
def test_broken_property_is_named(committed: Repository, mutation: Mutation) -> None:
    """A broken Envoy configuration is found out: that file, that property, nothing else."""
    broken = copy.deepcopy(committed)
    mutation.apply(broken.envoy[mutation.file])
    found = checker.findings(broken)
    assert {f.property for f in found} == mutation.properties
    assert {f.file for f in found} == {f"envoy/{mutation.file}.yaml"}


@pytest.mark.parametrize("mutation", [*_MUTATIONS, *PODS], ids=lambda m: "+".join(m.properties))
def test_broken_property_of_a_pod_is_named(committed: Repository, mutation: Mutation) -> None:
    """What holds on one machine must hold in a pod; what a pod has more must hold too."""
    broken = copy.deepcopy(committed)
    mutation.apply(broken.pods[mutation.file])
    found = checker.findings(broken)
    assert {f.property for f in found} == mutation.properties
    assert {f.file for f in found} == {f"envoy/kubernetes/{mutation.file}.yaml"}


def _both(*workloads: str) -> set[str]:
    """The files of the workloads, and those of their pods."""
    return {f"envoy/{where}{name}.yaml" for name in workloads for where in ("", "kubernetes/")}


def _grant(repository: Repository, caller: str, rpc: str) -> None:
    repository.facts.grants.append({"id": "new", "caller": caller, "rpc": rpc})


_OTHERS: list[tuple[str, set[str], set[str], Callable[[Repository], object]]] = [
    (
        "a file is missing",
        {"envoy"},
        {"one-file-for-each-sidecar"},
        lambda r: r.envoy.pop("ledger"),
    ),
    (
        "a file is too many",
        {"envoy"},
        {"one-file-for-each-sidecar"},
        lambda r: r.envoy.update(old={}),
    ),
    (
        "a pod's file is missing",
        {"envoy/kubernetes"},
        {"one-file-for-each-sidecar"},
        lambda r: r.pods.pop("ledger"),
    ),
    (
        "a certificate that nobody looks at again",
        {"envoy/kubernetes/gateway.yaml"},
        {"certificate-renewed"},
        lambda r: r.certificate["resources"][0]["tls_certificate"].pop("watched_directory"),
    ),
    (
        "another certificate",
        {"envoy/kubernetes/gateway.yaml"},
        {"certificate-renewed"},
        lambda r: r.certificate["resources"][0]["tls_certificate"].update(
            private_key={"filename": "/etc/paymesh/trust/tls.key"}
        ),
    ),
    (
        "no config map",
        {"envoy/kustomization.yaml"},
        {"config-maps"},
        lambda r: r.kustomization["configMapGenerator"].pop(),
    ),
    (
        "an entry is missing",
        {ENTRIES},
        {"entries-match-workloads"},
        lambda r: r.entries["entries"].pop(),
    ),
    (
        "an entry stands twice",
        {ENTRIES},
        {"entries-match-workloads"},
        lambda r: r.entries["entries"].append(r.entries["entries"][0]),
    ),
    (
        "any process of the machine",
        {ENTRIES},
        {"entry-selectors"},
        lambda r: r.entries["entries"][0].update(selectors=[]),
    ),
    (
        "another uid",
        {ENTRIES},
        {"entry-selectors"},
        lambda r: r.entries["entries"][0]["selectors"][0].update(value="uid:0"),
    ),
    (
        "a name too many",
        {ENTRIES},
        {"entry-dns-names"},
        lambda r: r.entries["entries"][0]["dns_names"].append("ledger.paymesh.internal"),
    ),
    (
        "another node",
        {ENTRIES},
        {"entry-parent"},
        lambda r: r.entries["entries"][0].update(parent_id="spiffe://paymesh.internal/evil"),
    ),
    (
        "a long life",
        {ENTRIES},
        {"entry-lifetimes"},
        lambda r: r.entries["entries"][0].update(x509_svid_ttl=999999),
    ),
    (
        "may administrate SPIRE",
        {ENTRIES},
        {"entry-without-power"},
        lambda r: r.entries["entries"][0].update(admin=True),
    ),
    (
        "a new grant on a new edge",
        _both("ledger", "bank-link"),
        {"callers-allow-list", "clusters-match-grants", "outbound-matches-grants"},
        lambda r: _grant(r, "bank-link", "/paymesh.ledger.v1.LedgerService/GetBalance"),
    ),
    (
        "a new grant for end users",
        _both("gateway"),
        {"public-matches-grants"},
        lambda r: _grant(r, "gateway", "/paymesh.ledger.v1.LedgerService/PostTransfer"),
    ),
]


@pytest.mark.parametrize(
    ("files", "properties", "apply"), [o[1:] for o in _OTHERS], ids=[o[0] for o in _OTHERS]
)
def test_files_and_sources_disagree(
    committed: Repository,
    files: set[str],
    properties: set[str],
    apply: Callable[[Repository], object],
) -> None:
    """A file, an entry or an edge too many or too few is found out."""
    broken = copy.deepcopy(committed)
    apply(broken)
    found = checker.findings(broken)
    assert {f.file for f in found} == files
    assert {f.property for f in found} == properties


def test_every_property_has_been_broken(
    committed: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No property that the checker asserts goes without a test that breaks it."""
    asserted = recorded_properties(monkeypatch)
    checker.findings(committed)
    broken = {p for m in (*_MUTATIONS, *PODS) for p in m.properties}
    broken |= {p for o in _OTHERS for p in o[2]}
    assert asserted == broken


def test_files_on_disk_are_what_is_checked(tmp_path: Path) -> None:
    """`check` reads a checkout: a hole bored into a copy's file is found, and printed."""
    for part in ("deploy/mesh.yaml", "policies/paymesh/grants/data.yaml", ENTRIES):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, tmp_path / part)
    for directory in ("envoy", "protos"):
        shutil.copytree(ROOT / directory, tmp_path / directory)
    assert checker.check(tmp_path) == []
    file = tmp_path / "envoy" / "ledger.yaml"
    config: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    config["admin"]["address"]["pipe"]["mode"] = 0o777
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    (finding,) = checker.check(tmp_path)
    assert str(finding).startswith("envoy/ledger.yaml: admin-on-unix-socket: ")
