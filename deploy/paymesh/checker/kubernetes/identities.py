"""Properties of what the SPIRE controller manager registers."""

from __future__ import annotations

import re

from paymesh.checker.finding import Findings
from paymesh.checker.kubernetes.build import NAME, Build, Object
from paymesh.checker.walk import at, items

_NAMESPACE = "kubernetes.io/metadata.name"
_CLASS = re.compile(r"^className: (\S+)$", re.MULTILINE)
_POWERS = ("admin", "downstream", "federatesWith", "fallback", "hint", "autoPopulateDNSNames")


def check_identities(found: Findings, build: Build) -> None:
    """One for each workload, told apart by service account and container, and no other."""
    ids = build.of("ClusterSPIFFEID")
    named = {str(at(i, "spec", "podSelector", "matchLabels", NAME)): i for i in ids}
    found.equal(
        "identities-match-workloads",
        (len(ids), set(named)),
        (len(build.facts.mesh["workloads"]), set(build.facts.mesh["workloads"])),
        "one ClusterSPIFFEID for each workload of deploy/mesh.yaml",
    )
    others = [*build.of("ClusterStaticEntry"), *build.of("ClusterFederatedTrustDomain")]
    found.expect(
        not others,
        "identities-match-workloads",
        "an identity or a trust that no workload has",
        "leave static entries and federation out",
    )
    # The controller manager passes over what is of another class, without a word.
    managers = [
        text
        for config in build.of("ConfigMap")
        for key, text in (at(config, "data") or {}).items()
        if key == "controller-manager.yaml"
    ]
    classes = {str(at(i, "spec", "className")) for i in ids}
    found.expect(
        not managers or classes == set(_CLASS.findall(managers[0])),
        "identity-class",
        f"the controller manager does not look at class {', '.join(classes)}",
    )
    for workload in build.facts.mesh["workloads"]:
        if workload in named:
            _check_identity(found, build, workload, at(named[workload], "spec") or {})


def _check_identity(found: Findings, build: Build, workload: str, spec: Object) -> None:
    mesh = build.facts.mesh
    domain = "{{ .TrustDomain }}"
    path = build.facts.spiffe_id(workload).removeprefix(build.facts.bundle)
    found.equal("identity-name", at(spec, "spiffeIDTemplate"), f"spiffe://{domain}{path}")
    found.equal("identity-dns-names", at(spec, "dnsNameTemplates"), [f"{workload}.{domain}"])
    holder = "app" if build.facts.kind(workload) == "job" else "envoy"
    found.equal(
        "identity-selectors",
        (
            at(spec, "namespaceSelector"),
            at(spec, "podSelector"),
            items(spec, "workloadSelectorTemplates"),
        ),
        (
            {"matchLabels": {_NAMESPACE: build.workloads}},
            {"matchLabels": {NAME: workload}},
            [
                f"k8s:ns:{build.workloads}",
                f"k8s:sa:{workload}",
                f"k8s:container-name:{holder}",
            ],
        ),
    )
    identity = mesh["identity"]
    found.equal(
        "identity-lifetimes",
        (at(spec, "ttl"), at(spec, "jwtTtl")),
        (f"{identity['x509_svid_ttl_seconds']}s", f"{identity['jwt_svid_ttl_seconds']}s"),
    )
    found.expect(
        not any(spec.get(power) for power in _POWERS),
        "identity-without-power",
        f"{workload} has more than its identity",
        f"leave out {', '.join(_POWERS)}",
    )
