"""Takes away what deployments made, and nothing else: last what the rest needs to go.

A pod's CSI volume is unmounted by the driver, an identity's finalizer is removed by the
controller manager; so workloads go first and SPIRE goes last. Ours are the mesh's own
namespaces, what in them has our label, and what belongs to no namespace, has our label
and was applied by us.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence

from paymesh.kube import wait
from paymesh.kube.client import Cluster
from paymesh.kube.contents import contents, namespaced_kinds
from paymesh.kube.errors import Conflict, NotFound, Stuck
from paymesh.kube.objects import MANAGER, OURS, PART_OF, Key, Object, key, label
from paymesh.kube.progress import Progress
from paymesh.kube.wait import Deadline
from paymesh.mesh import Mesh

_IDENTITIES = (
    ("spire.spiffe.io/v1alpha1", "ClusterSPIFFEID"),
    ("spire.spiffe.io/v1alpha1", "ClusterStaticEntry"),
    ("spire.spiffe.io/v1alpha1", "ClusterFederatedTrustDomain"),
)
_DEFINITIONS = (("apiextensions.k8s.io/v1", "CustomResourceDefinition"),)
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
# Gone, with all their pods, before anything that the pods need.
_RUNNING = frozenset({"CronJob", "Job", "Deployment", "StatefulSet", "DaemonSet", "Pod"})
_DATA = frozenset({"PersistentVolumeClaim", "Secret"})


@dataclasses.dataclass(frozen=True)
class Room:
    """One of the mesh's namespaces.

    Attributes:
        name: the namespace's.
        going: what is ours in it and goes.
        stays_for: what keeps the namespace; it goes with everything in it when that is nothing.
        is_spire: whether others need what stands in it.
    """

    name: str
    going: list[Key]
    stays_for: list[str]
    is_spire: bool


@dataclasses.dataclass(frozen=True)
class Plan:
    """What goes and what stays.

    Attributes:
        rooms: namespaces in the order in which they go.
        identities: custom resources of ours, that their controller has to let go of.
        cluster_wide: other objects without a namespace.
        definitions: custom resource definitions of ours.
    """

    rooms: list[Room]
    identities: list[Key]
    cluster_wide: list[Key]
    definitions: list[Key]

    @property
    def lost(self) -> list[Key]:
        """What cannot be made again as it was: volumes and Secrets."""
        return [place for room in self.rooms for place in room.going if place.kind in _DATA]

    @property
    def is_empty(self) -> bool:
        """Whether nothing of ours is there."""
        return not (self.rooms or self.identities or self.cluster_wide or self.definitions)


def plan(cluster: Cluster, mesh: Mesh, *, keep_data: bool = False) -> Plan:
    """Looks; changes nothing.

    Args:
        cluster: where.
        mesh: whose namespaces.
        keep_data: the databases' volumes and their Secrets stay.
    """
    names = mesh.kubernetes.namespaces
    kept = names["platform"] if keep_data else None
    spire = names["spire_server"], names["spire_system"]
    kinds = namespaced_kinds(cluster)
    rooms = [
        _room(cluster, value, kinds, keep_data=name == kept, is_spire=name in spire)
        for name in (mesh.namespace, names["outside"], names["platform"], *spire)
        if (value := cluster.find(Key("v1", "Namespace", "", name))) is not None
    ]
    return Plan(
        rooms=[room for room in rooms if room.going or not room.stays_for],
        identities=_applied(cluster, _IDENTITIES),
        cluster_wide=_applied(cluster, _CLUSTER_WIDE),
        definitions=_applied(cluster, _DEFINITIONS),
    )


def undeploy(cluster: Cluster, wanted: Plan, progress: Progress, deadline: Deadline) -> None:
    """Carries a plan out and waits until all of it is gone; safe to run again.

    Raises:
        Stuck: something does not go; names its finalizers.
    """
    for room in (room for room in wanted.rooms if not room.is_spire):
        _clear(cluster, room, progress, deadline)
    # While their controller is there to let go of them.
    _identities(cluster, wanted.identities, progress)
    for room in (room for room in wanted.rooms if room.is_spire):
        _clear(cluster, room, progress, deadline)
    _remove(cluster, wanted.cluster_wide, progress, deadline)
    _definitions(cluster, wanted.definitions, progress, deadline)
    progress.done("what belongs to no namespace")


def _room(
    cluster: Cluster,
    namespace: Object,
    kinds: Sequence[tuple[str, str]],
    *,
    keep_data: bool,
    is_spire: bool,
) -> Room:
    name = namespace["metadata"]["name"]
    found = contents(cluster, name, kinds, spire=is_spire)
    ours = [key(value) for value in found.ours]
    going = [place for place in ours if not (keep_data and place.kind in _DATA)]
    stays_for = [str(key(value)) for value in found.foreign]
    if label(namespace, PART_OF) != MANAGER:
        stays_for.append("whoever made it: it has no label of ours")
    if keep_data:
        stays_for.append("the databases, as you asked")
    return Room(name, going, stays_for, is_spire)


def _applied(cluster: Cluster, kinds: Iterable[tuple[str, str]]) -> list[Key]:
    """Objects without a namespace that have our label and that we applied: anybody may give
    an object of his own the same label.
    """
    return [
        key(value)
        for api_version, kind in kinds
        for value in cluster.items(api_version, kind, labels=OURS)
        if any(
            entry.get("manager") == MANAGER
            for entry in value["metadata"].get("managedFields") or ()
        )
    ]


def _clear(cluster: Cluster, room: Room, progress: Progress, deadline: Deadline) -> None:
    """Removes a namespace, or what is ours in it; returns when its pods are gone too."""
    if not room.stays_for:
        _remove(cluster, [Key("v1", "Namespace", "", room.name)], progress, deadline)
        progress.done(f"namespace {room.name}")
        return
    running = [place for place in room.going if place.kind in _RUNNING]
    # In the foreground: a controller is there until the last of its pods is gone.
    _remove(cluster, running, progress, deadline, propagation="Foreground")
    _remove(cluster, [p for p in room.going if p.kind not in _RUNNING], progress, deadline)
    progress.note(f"namespace {room.name} stays, because of {few(room.stays_for)}")


def few(names: Sequence[str]) -> str:
    """The first of many."""
    rest = len(names) - 4
    return ", ".join(names[:4]) + (f" and {rest} more" if rest > 0 else "")


def _remove(
    cluster: Cluster,
    places: Sequence[Key],
    progress: Progress,
    deadline: Deadline,
    *,
    propagation: str = "Background",
) -> None:
    for place in places:
        cluster.delete(place, propagation=propagation)
    wait.gone(cluster, places, progress, deadline)


def _identities(cluster: Cluster, ours: Sequence[Key], progress: Progress) -> None:
    try:
        _remove(cluster, ours, progress, Deadline(_FINALIZER_SECONDS))
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
