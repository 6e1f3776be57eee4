"""The admission policy: there, bound, refusing; and it refuses a pod without sidecars."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from paymesh.checks.kube.model import DEPLOY, Look
from paymesh.checks.model import Finding, Section
from paymesh.kube.errors import ClusterError, Invalid
from paymesh.kube.objects import Object, key, pod_template

_POLICY = "ValidatingAdmissionPolicy"
_section = Section("admission")


def check(look: Look) -> Iterator[Finding]:
    """Yields a finding for each policy and binding, and for pods that are tried."""
    policies = look.built_of(_POLICY)
    for value in (*policies, *look.built_of(f"{_POLICY}Binding")):
        yield _section.expect(f"{key(value).short} is as built", look.differs(value), DEPLOY)
    for policy in policies:
        yield _bound(look, policy["metadata"]["name"])
    if policies:
        yield from _tried(look)


def _bound(look: Look, policy: str) -> Finding:
    bindings = [
        value
        for value in look.cluster.items("admissionregistration.k8s.io/v1", f"{_POLICY}Binding")
        if value["spec"]["policyName"] == policy
    ]
    denying = [value for value in bindings if "Deny" in value["spec"]["validationActions"]]
    said = None
    if not denying:
        actions = sorted({a for value in bindings for a in value["spec"]["validationActions"]})
        said = f"its bindings only {' and '.join(actions)}" if bindings else "it has no binding"
    return _section.expect(f"{policy} is bound and refuses", said, DEPLOY)


def _tried(look: Look) -> Iterator[Finding]:
    """Pods as a deployment makes them but for one thing; nothing of this is stored."""
    built = next(
        value
        for value in look.built_of("Deployment")
        if value["metadata"]["name"] == look.mesh.services()[0].name
    )
    whole = _pod_of(built)
    try:
        look.cluster.create(whole, dry_run=True)
    except ClusterError as error:
        yield _section.problem("a pod as it is built is let in", str(error), DEPLOY)
    else:
        yield _section.ok("a pod as it is built is let in")
    bare = copy.deepcopy(whole)
    del bare["spec"]["initContainers"]
    other = copy.deepcopy(whole)
    other["spec"]["serviceAccountName"] = "default"
    for what, pod in (
        ("a pod without sidecars", bare),
        ("a pod with another service account than its name says", other),
    ):
        yield _refused(look, what, pod)


def _refused(look: Look, what: str, pod: Object) -> Finding:
    name = f"{what} is refused"
    try:
        look.cluster.create(pod, dry_run=True)
    except Invalid as error:
        if _POLICY in str(error):
            return _section.ok(name)
        return _section.problem(name, f"but not by our policy: {error}", DEPLOY)
    except ClusterError as error:
        return _section.problem(name, f"it could not be tried: {error}", DEPLOY)
    return _section.problem(name, "it would have been let in", DEPLOY)


def _pod_of(deployment: Object) -> Object:
    template = copy.deepcopy(pod_template(deployment))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "paymesh-check",
            "namespace": deployment["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
        },
        "spec": template["spec"],
    }
