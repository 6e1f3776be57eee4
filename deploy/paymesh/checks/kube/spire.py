"""SPIRE: identities in the cluster are those that the checkout renders."""

from __future__ import annotations

from collections.abc import Iterator

from paymesh.checks.kube.model import DEPLOY, Look, describe
from paymesh.checks.model import Finding, Section
from paymesh.kube.objects import Object, key

_KIND = ("spire.spiffe.io/v1alpha1", "ClusterSPIFFEID")
_FAILURES = ("podEntryRenderFailures", "entryFailures", "entriesMasked")
_section = Section("spire")


def check(look: Look) -> Iterator[Finding]:
    """Yields a finding for each ClusterSPIFFEID, built or not."""
    built = look.built_of("ClusterSPIFFEID")
    live = {key(value): value for value in look.cluster.items(*_KIND)}
    for value in built:
        name = f"ClusterSPIFFEID {value['metadata']['name']} is as rendered"
        yield _section.expect(name, look.differs(value), DEPLOY)
        found = live.get(key(value))
        if found is not None:
            yield _entries(found)
    known = {key(value) for value in built}
    for place, value in live.items():
        if place not in known and _is_about_us(look, value):
            yield _section.problem(
                f"nobody else gives identities in {look.mesh.namespace}",
                f"{place} selects pods by {value['spec'].get('podSelector') or 'nothing'}",
                f"find out who made it, then `kubectl delete clusterspiffeid {place.name}`",
            )


def _entries(value: Object) -> Finding:
    name = f"{value['metadata']['name']} gives identities without a failure"
    stats = (value.get("status") or {}).get("stats") or {}
    failed = [f"{stats[field]} {field}" for field in _FAILURES if stats.get(field)]
    return _section.expect(name, ", ".join(failed) or None, describe(key(value)))


def _is_about_us(look: Look, value: Object) -> bool:
    """Whether it could give an identity of ours: by template or by namespace."""
    spec = value["spec"]
    selected = (spec.get("namespaceSelector") or {}).get("matchLabels") or {}
    namespace = selected.get("kubernetes.io/metadata.name")
    template = spec.get("spiffeIDTemplate", "")
    return namespace == look.mesh.namespace or f"/ns/{look.mesh.namespace}/" in template
