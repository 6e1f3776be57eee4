"""The cluster itself: new enough, its nodes ready, Pod Security as it should be."""

from __future__ import annotations

from collections.abc import Iterator

from paymesh.checks.kube.model import DEPLOY, Look, describe
from paymesh.checks.model import Finding, Section
from paymesh.kube.deploy import oldest
from paymesh.kube.objects import Object, key, label

ENFORCE = "pod-security.kubernetes.io/enforce"
_section = Section("cluster")


def check(look: Look) -> Iterator[Finding]:
    """Yields version, nodes and each namespace."""
    found, (needed, reason) = look.cluster.version(), oldest(look.built)
    yield _section.expect(
        f"Kubernetes {found[0]}.{found[1]} in context {look.cluster.context}",
        None if found >= needed else f"it lacks {reason}",
        f"upgrade it to {needed[0]}.{needed[1]} or later",
    )
    for node in look.cluster.items("v1", "Node"):
        yield _node(node)
    for namespace in look.built_of("Namespace"):
        yield _pod_security(look, namespace)


def _node(node: Object) -> Finding:
    name = f"node {node['metadata']['name']} is ready"
    conditions = {c["type"]: c for c in (node.get("status") or {}).get("conditions") or ()}
    ready = conditions.get("Ready", {})
    said = None if ready.get("status") == "True" else ready.get("message") or "it says nothing"
    return _section.expect(name, said, describe(key(node)))


def _pod_security(look: Look, built: Object) -> Finding:
    wanted = label(built, ENFORCE)
    name = f"namespace {built['metadata']['name']} enforces Pod Security {wanted}"
    found = look.cluster.find(key(built))
    if found is None:
        return _section.problem(name, "there is no such namespace", DEPLOY)
    has = label(found, ENFORCE)
    return _section.expect(
        name, None if has == wanted else f"it enforces {has or 'nothing'}", DEPLOY
    )
