"""What a build wants to have for itself and somebody else has already."""

from __future__ import annotations

from collections.abc import Iterable

from paymesh.kube.client import Cluster
from paymesh.kube.errors import ClusterError
from paymesh.kube.objects import MANAGER, OURS, PART_OF, Key, Object, key, label

# There is one of each name in a cluster, and whoever depends on it feels every change.
_KINDS = frozenset({"Namespace", "CSIDriver", "CustomResourceDefinition"})
_SPIRE = ("csi.spiffe.io", ".spire.spiffe.io")


def refuse_strangers(cluster: Cluster, built: Iterable[Object]) -> None:
    """Looks before a deployment writes anything.

    Args:
        cluster: where.
        built: every object of the build.

    Raises:
        ClusterError: something of that name is there without our label; says what to do.
    """
    wanted = [key(value) for value in built if value["kind"] in _KINDS]
    found = [
        place
        for place in wanted
        if (value := cluster.find(place)) is not None and label(value, PART_OF) != MANAGER
    ]
    if found:
        raise ClusterError(
            f"context {cluster.context!r} has what the mesh would take from others, nothing was"
            " changed:" + "".join(f"\n  {_said(place)}" for place in found)
        )


def _said(place: Key) -> str:
    if place.kind == "Namespace":
        return (
            f"namespace {place.name} is somebody else's, and default-deny would cut it off. Use"
            " another cluster; or, if the mesh may have it, undeploying included:"
            f" `kubectl label namespace {place.name} {OURS}`"
        )
    if place.name.endswith(_SPIRE):
        return (
            f"{place} belongs to another SPIRE: leave components/spire out of the overlay, as"
            ' deploy/k8s/components/spire/README.md says under "You already run SPIRE"'
        )
    return f"{place} is somebody else's: use another cluster, or leave it out of the overlay"
