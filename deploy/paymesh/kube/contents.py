"""What stands in a namespace, of whatever kind, and whose it is."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from paymesh.kube.client import Cluster
from paymesh.kube.errors import ClusterError
from paymesh.kube.objects import NAME, PART_OF, Object, label

_OURS = "paymesh"
_NEEDED = frozenset({"list", "delete"})
# Kubernetes puts these into every namespace.
_OF_EVERY_NAMESPACE = frozenset({("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")})
# Written by SPIRE itself, without our label.
_OF_SPIRE = frozenset({("ConfigMap", "spire-bundle")})
_SLICES = "endpointslice.kubernetes.io/managed-by"
_SLICE_CONTROLLERS = frozenset(
    {"endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"}
)


@dataclasses.dataclass(frozen=True)
class Contents:
    """One namespace's objects; left out is what others own or the cluster makes by itself."""

    ours: list[Object]
    foreign: list[Object]


def namespaced_kinds(cluster: Cluster) -> list[tuple[str, str]]:
    """API version and kind of whatever can stand in a namespace, be listed and be deleted, as
    the API server's discovery says; each once, in its group's preferred version. Events are
    left out: they are about objects, and go by themselves.

    Raises:
        ClusterError: a part of the API does not answer, so that nobody can say what there is.
    """
    groups = cluster.request("GET", "/apis", what="learn what the cluster has")["groups"]
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for version in ["v1", *(version for group in groups for version in _versions(group))]:
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        try:
            listed = cluster.request("GET", path, what=f"learn what {version} has")
        except ClusterError as error:
            raise ClusterError(
                f"{error}. Until {version} answers, or its APIService is removed, nobody can say"
                " what stands in a namespace, and Kubernetes removes none"
            ) from error
        group = version.rpartition("/")[0]
        for item in listed["resources"]:
            is_wanted = item["namespaced"] and set(item["verbs"]) >= _NEEDED
            if is_wanted and "/" not in item["name"] and item["kind"] != "Event":
                found.setdefault((group, item["name"]), (version, item["kind"]))
    return list(found.values())


def contents(
    cluster: Cluster, namespace: str, kinds: Sequence[tuple[str, str]], *, spire: bool
) -> Contents:
    """Looks into one namespace.

    Args:
        cluster: where.
        namespace: which.
        kinds: as of `namespaced_kinds`.
        spire: whether what SPIRE itself writes is to be expected there.
    """
    objects = [value for kind in kinds for value in cluster.items(*kind, namespace)]
    uids = {value["metadata"].get("uid") for value in objects} - {None}
    services = {value["metadata"]["name"] for value in objects if value["kind"] == "Service"}
    claims = list(_claims(objects))
    found = Contents([], [])
    for value in objects:
        if _is_claim_of(value, claims):
            found.ours.append(value)
            continue
        owners = value["metadata"].get("ownerReferences") or ()
        # An owner elsewhere, which only can be the cluster's own, is somebody's that we do not see.
        if any(owner.get("uid") in uids for owner in owners) or _is_made_by_cluster(
            value, services
        ):
            continue
        name = value["kind"], value["metadata"]["name"]
        if _is_labelled(value) or (spire and name in _OF_SPIRE):
            found.ours.append(value)
        elif "deletionTimestamp" not in value["metadata"]:
            found.foreign.append(value)
    return found


def _versions(group: Object) -> Iterator[str]:
    """Of one API group, the preferred one first."""
    yield group["preferredVersion"]["groupVersion"]
    for version in group["versions"]:
        if version != group["preferredVersion"]:
            yield version["groupVersion"]


def _is_labelled(value: Object) -> bool:
    """By the label; claims have a rule of their own."""
    return value["kind"] != "PersistentVolumeClaim" and label(value, PART_OF) == _OURS


def _claims(objects: Sequence[Object]) -> Iterator[re.Pattern[str]]:
    """What the claims of our StatefulSets are called (Kubernetes' documentation,
    "StatefulSets", section "Stable Storage").
    """
    for value in objects:
        if value["kind"] == "StatefulSet" and _is_labelled(value):
            for template in value["spec"].get("volumeClaimTemplates") or ():
                name = f"{template['metadata']['name']}-{value['metadata']['name']}"
                yield re.compile(rf"{re.escape(name)}-[0-9]+")


def _is_claim_of(value: Object, claims: Sequence[re.Pattern[str]]) -> bool:
    """Whether a claim is one of our StatefulSets', or was when its StatefulSet was there: then
    it has the labels that our templates give, and the name that belongs to them.
    """
    if value["kind"] != "PersistentVolumeClaim" or label(value, PART_OF) not in {"", _OURS}:
        return False
    name = value["metadata"]["name"]
    if any(pattern.fullmatch(name) for pattern in claims):
        return True
    owner = re.escape(label(value, NAME))
    was_ours = label(value, PART_OF) == _OURS and bool(owner)
    return was_ours and re.fullmatch(rf".+-{owner}-[0-9]+", name) is not None


def _is_made_by_cluster(value: Object, services: set[str]) -> bool:
    """What Kubernetes makes without being asked, and makes again."""
    kind, name = value["kind"], value["metadata"]["name"]
    if kind == "Endpoints":
        # They have a Service's name, and its labels.
        return name in services
    if kind == "EndpointSlice":
        return label(value, _SLICES) in _SLICE_CONTROLLERS
    return (kind, name) in _OF_EVERY_NAMESPACE
