"""Server-side apply of a build's objects, Jobs that run again when there is a reason, pruning."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from paymesh.kube import refusals
from paymesh.kube.client import Cluster
from paymesh.kube.errors import Conflict
from paymesh.kube.objects import (
    MANAGER,
    OURS,
    Key,
    Object,
    annotation,
    key,
    pod_template,
    references,
)
from paymesh.kube.progress import Progress
from paymesh.kube.secrets import TRUST, Place
from paymesh.kube.wait import Deadline, gone

INPUTS = "paymesh.internal/inputs"
_TEMPLATE = "paymesh.internal/template"
_DIGITS = 16

# What a deployment may remove because its build has it no longer. Not here: namespaces, custom
# resource definitions, volumes and Secrets, which hold what cannot be made again.
PRUNED = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("spire.spiffe.io/v1alpha1", "ClusterSPIFFEID"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ("storage.k8s.io/v1", "CSIDriver"),
)
# Made by a deployment itself, not by its build.
RECORD = "paymesh-deployment"
_KEPT = frozenset({TRUST, RECORD, "paymesh-policy", "paymesh-policy-floor"})


def apply(cluster: Cluster, value: Object, *, take_over: bool = False) -> None:
    """Makes an object's fields what the build says.

    Args:
        cluster: where.
        value: the object.
        take_over: also where somebody else has set a field.

    Raises:
        Conflict: somebody else has, and `take_over` is false; says who and which.
        Invalid: it was refused.
    """
    try:
        cluster.apply(value, force=take_over)
    except Conflict as error:
        # Our own earlier writes by other means than apply are no one else's.
        if not refusals.is_conflict_of(error, frozenset({MANAGER})):
            raise refusals.conflict(error, str(key(value))) from error
        cluster.apply(value, force=True)


def apply_job(
    cluster: Cluster, value: Object, stamp: str, progress: Progress, deadline: Deadline
) -> None:
    """Runs a Job, unless it ran to its end with the same template and the same inputs.

    A Job's template cannot be changed, so that another one takes its place.

    Args:
        cluster: where.
        value: the Job.
        stamp: of everything that it works on.
        progress: while the one before goes.
        deadline: for that.
    """
    wanted = copy.deepcopy(value)
    digest = fingerprint([value["spec"], stamp])
    wanted["metadata"].setdefault("annotations", {})[_TEMPLATE] = digest
    before = cluster.find(key(value))
    if before is not None:
        if annotation(before, _TEMPLATE) == digest and _is_complete(before):
            return
        cluster.delete(key(value), propagation="Foreground")
        gone(cluster, [key(value)], progress, deadline)
    cluster.apply(wanted)


def with_inputs(value: Object, contents: Mapping[tuple[str, Place], Mapping[str, bytes]]) -> Object:
    """A workload controller whose pods are replaced when a Secret or the trust that they
    refer to changes: its template names their digest.

    Args:
        value: any object; one without pods comes back as it is.
        contents: of the Secrets and ConfigMaps that a deployment makes, by kind and place.
    """
    template = pod_template(value)
    if template is None:
        return value
    digest = inputs_of(value, contents)
    if digest is None:
        return value
    changed = copy.deepcopy(value)
    metadata = pod_template(changed).setdefault("metadata", {})
    metadata.setdefault("annotations", {})[INPUTS] = digest
    return changed


def inputs_of(
    value: Object, contents: Mapping[tuple[str, Place], Mapping[str, bytes]]
) -> str | None:
    """A digest of what its pods refer to; None when that is nothing that we make."""
    found: list[list[Any]] = []
    for reference in sorted(references(value), key=lambda r: (r.kind, r.name, sorted(r.keys))):
        data = contents.get((reference.kind, (reference.namespace, reference.name)))
        if data is None:
            continue
        keys = sorted(reference.keys or data)
        found.append(
            [reference.kind, reference.name]
            + [[name, hashlib.sha256(data.get(name, b"")).hexdigest()] for name in keys]
        )
    return fingerprint(found) if found else None


def fingerprint(value: Any) -> str:
    """A digest of anything that is JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def prune(cluster: Cluster, built: Iterable[Object], namespaces: Iterable[str]) -> list[Key]:
    """Deletes what an earlier deployment made and this build has no longer.

    Args:
        cluster: where.
        built: every object of the build.
        namespaces: the mesh's own; nothing in another is touched.

    Returns:
        What was deleted.
    """
    keep = {_identity(key(value)) for value in built}
    own = frozenset(namespaces)
    left_over = [
        key(found)
        for api_version, kind in PRUNED
        for found in cluster.items(api_version, kind, labels=OURS)
        if is_left_over(found, keep, own)
    ]
    return [wanted for wanted in left_over if cluster.delete(wanted)]


def is_left_over(
    found: Object, keep: set[tuple[str, str, str]], namespaces: frozenset[str]
) -> bool:
    """Whether we made an object, nobody else owns it, and the build has it no longer."""
    metadata = found["metadata"]
    wanted = key(found)
    return (
        _identity(wanted) not in keep
        and wanted.name not in _KEPT
        and (not wanted.namespace or wanted.namespace in namespaces)
        and not metadata.get("ownerReferences")
        and "deletionTimestamp" not in metadata
        and any(
            entry.get("manager") == MANAGER and entry.get("operation") == "Apply"
            for entry in metadata.get("managedFields") or ()
        )
    )


def _identity(wanted: Key) -> tuple[str, str, str]:
    return wanted.kind, wanted.namespace, wanted.name


def _is_complete(job: Object) -> bool:
    return any(
        condition["type"] == "Complete" and condition["status"] == "True"
        for condition in (job.get("status") or {}).get("conditions") or ()
    )
