"""Takes away what deployments made, and nothing else: last what the rest needs to go.

A pod's CSI volume is unmounted by the driver, an identity's finalizer is removed by the
controller manager; so workloads go first and SPIRE goes last.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable

from paymesh.kube import wait
from paymesh.kube.client import Cluster
from paymesh.kube.errors import Conflict, NotFound, Stuck
from paymesh.kube.objects import NAME, OURS, PART_OF, Key, Object, key, label
from paymesh.kube.progress import Progress
from paymesh.kube.wait import Deadline
from paymesh.mesh import Mesh

_IDENTITIES = "spire.spiffe.io/v1alpha1"
_CUSTOM = ("ClusterSPIFFEID", "ClusterStaticEntry", "ClusterFederatedTrustDomain")
_DEFINITION = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
# How long a controller gets to remove its finalizer before we do.
_FINALIZER_SECONDS = 10.0

_CLUSTER_WIDE = (
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("storage.k8s.io/v1", "CSIDriver"),
)
# In the order in which they go where a namespace has to stay.
_NAMESPACED = (
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("v1", "Pod"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("v1", "ServiceAccount"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "PersistentVolumeClaim"),
)
_DATA = frozenset({"PersistentVolumeClaim", "Secret"})
_OF_EVERY_NAMESPACE = frozenset({("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")})
# Written by SPIRE itself, without our label.
_OF_SPIRE = frozenset({("ConfigMap", "spire-bundle")})


@dataclasses.dataclass(frozen=True)
class Plan:
    """What goes and what stays.

    Attributes:
        namespaces: ours, that go with everything in them, in order.
        shared: ours, that stay because something in them is not: namespace → what that is.
        claims: volumes whose data is lost.
        definitions: custom resource definitions of ours.
        cluster_wide: objects without a namespace.
        elsewhere: objects of ours in namespaces that are not.
    """

    namespaces: list[str]
    shared: dict[str, list[str]]
    claims: list[Key]
    definitions: list[Key]
    cluster_wide: list[Key]
    elsewhere: list[Key]

    @property
    def is_empty(self) -> bool:
        """Whether nothing of ours is there."""
        return not (
            self.namespaces
            or self.shared
            or self.definitions
            or self.cluster_wide
            or self.elsewhere
        )


def plan(cluster: Cluster, mesh: Mesh, *, keep_data: bool = False) -> Plan:
    """Looks; changes nothing.

    Args:
        cluster: where.
        mesh: whose namespaces.
        keep_data: the databases' volumes and their Secrets stay.
    """
    names = mesh.kubernetes.namespaces
    order = [mesh.namespace, names["outside"], names["platform"], *names.values()]
    found = {n["metadata"]["name"]: n for n in cluster.items("v1", "Namespace", labels=OURS)}
    ordered = sorted(found, key=lambda n: order.index(n) if n in order else 0)
    shared = {name: _foreign(cluster, name) for name in ordered}
    if keep_data and names["platform"] in shared:
        shared[names["platform"]].append("the databases, as you asked")
    claims = [
        key(claim)
        for name in ordered
        for claim in cluster.items("v1", "PersistentVolumeClaim", name)
        if not (keep_data and name == names["platform"])
    ]
    elsewhere = [
        key(value)
        for api_version, kind in _NAMESPACED
        for value in cluster.items(api_version, kind, labels=OURS)
        if value["metadata"]["namespace"] not in found
        and not value["metadata"].get("ownerReferences")
    ]
    return Plan(
        namespaces=[name for name in ordered if not shared[name]],
        shared={name: what for name, what in shared.items() if what},
        claims=claims,
        definitions=[key(value) for value in cluster.items(*_DEFINITION, labels=OURS)],
        cluster_wide=[
            key(value)
            for api_version, kind in _CLUSTER_WIDE
            for value in cluster.items(api_version, kind, labels=OURS)
        ],
        elsewhere=elsewhere,
    )


def undeploy(
    cluster: Cluster, wanted: Plan, progress: Progress, deadline: Deadline, *, keep_data: bool
) -> None:
    """Carries a plan out and waits until all of it is gone; safe to run again.

    Raises:
        Stuck: something does not go; names its finalizers.
    """
    _identities(cluster, progress)
    for name in [*wanted.namespaces, *wanted.shared]:
        if name in wanted.shared:
            _empty(cluster, name, progress, deadline, keep_data=keep_data)
            what = ", ".join(wanted.shared[name][:4])
            progress.note(f"namespace {name} stays, because of {what}")
            continue
        place = Key("v1", "Namespace", "", name)
        cluster.delete(place)
        wait.gone(cluster, [place], progress, deadline)
        progress.done(f"namespace {name}")
    for rest in (wanted.elsewhere, wanted.cluster_wide):
        for place in rest:
            cluster.delete(place)
        wait.gone(cluster, rest, progress, deadline)
    _definitions(cluster, wanted.definitions, progress, deadline)
    progress.done("what belongs to no namespace")


def _identities(cluster: Cluster, progress: Progress) -> None:
    """Our custom resources, while their controller is there to let go of them."""
    ours = [
        key(value) for kind in _CUSTOM for value in cluster.items(_IDENTITIES, kind, labels=OURS)
    ]
    for place in ours:
        cluster.delete(place)
    try:
        wait.gone(cluster, ours, progress, Deadline(_FINALIZER_SECONDS))
    except Stuck:
        # The controller has gone before: nobody else would ever remove its finalizers.
        for place in ours:
            with contextlib.suppress(NotFound, Conflict):
                cluster.patch(place, {"metadata": {"finalizers": None}})
        wait.gone(cluster, ours, progress, Deadline(_FINALIZER_SECONDS))
    if ours:
        progress.done("identities")


def _definitions(
    cluster: Cluster, definitions: Iterable[Key], progress: Progress, deadline: Deadline
) -> None:
    """Those of ours that nobody else has objects of: those would go with them."""
    going = []
    for place in definitions:
        value = cluster.find(place)
        if value is None:
            continue
        spec = value["spec"]
        version = next(v["name"] for v in spec["versions"] if v["served"])
        kind = spec["names"]["kind"]
        left = cluster.items(f"{spec['group']}/{version}", kind)
        if left:
            progress.note(f"{place.name} stays: there are {len(left)} {kind}s that are not ours")
            continue
        cluster.delete(place)
        going.append(place)
    wait.gone(cluster, going, progress, deadline)


def _empty(
    cluster: Cluster, namespace: str, progress: Progress, deadline: Deadline, *, keep_data: bool
) -> None:
    """Removes what is ours from a namespace that stays."""
    going = [
        key(value)
        for api_version, kind in _NAMESPACED
        for value in cluster.items(api_version, kind, namespace)
        if not (keep_data and kind in _DATA)
        and (_is_ours(value) or (kind, value["metadata"]["name"]) in _OF_SPIRE)
        and not value["metadata"].get("ownerReferences")
    ]
    for place in going:
        cluster.delete(place)
    wait.gone(cluster, going, progress, deadline)


def _foreign(cluster: Cluster, namespace: str) -> list[str]:
    """What somebody else has in one of our namespaces, in words."""
    return [
        str(key(value))
        for api_version, kind in _NAMESPACED
        for value in cluster.items(api_version, kind, namespace)
        if not _is_ours(value)
        and not value["metadata"].get("ownerReferences")
        and "deletionTimestamp" not in value["metadata"]
        and (kind, value["metadata"]["name"]) not in _OF_EVERY_NAMESPACE | _OF_SPIRE
        and value.get("type") != "kubernetes.io/service-account-token"
    ]


def _is_ours(value: Object) -> bool:
    """Labelled as ours; a StatefulSet's claim has the labels of its selector only."""
    if label(value, PART_OF):
        return label(value, PART_OF) == "paymesh"
    return value["kind"] == "PersistentVolumeClaim" and bool(label(value, NAME))
