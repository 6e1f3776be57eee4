"""What every command about a cluster starts from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from paymesh.kube.client import Cluster
from paymesh.kube.contexts import connect
from paymesh.kube.errors import Forbidden
from paymesh.kube.home import (
    Home,
    ensure_home,
    remember_cluster,
    require_cluster,
    require_ours,
)
from paymesh.kube.objects import Key
from paymesh.kube.progress import Progress
from paymesh.kube.secrets import TRUST
from paymesh.mesh import Mesh
from paymesh.paths import Paths


@dataclasses.dataclass(frozen=True, repr=False)
class Site:
    """One mesh in one cluster, its keys here, the checkout, and whoever is told.

    `paths` are the machine's own, where the programs are that were built here.
    """

    cluster: Cluster
    mesh: Mesh
    home: Home
    paths: Paths
    root: Path
    progress: Progress

    @property
    def namespaces(self) -> list[str]:
        """Every namespace of the mesh, whether this cluster has it or not."""
        return [self.mesh.namespace, *self.mesh.kubernetes.namespaces.values()]

    @property
    def platform(self) -> str:
        """The namespace of PostgreSQL and the bundle server."""
        return self.mesh.kubernetes.namespaces["platform"]


def open_site(
    context: str | None, mesh: Mesh, paths: Paths, root: Path, progress: Progress
) -> Site:
    """Connects, and refuses a mesh that was deployed from another home, and a cluster that is
    not the one that this context named before.

    Args:
        context: of the kubeconfig; the current one when left out.
        mesh: what is or is to be there.
        paths: of this machine.
        root: the checkout.
        progress: for the user.

    Raises:
        PaymeshError: no such context, no answer, or not our mesh.
    """
    cluster = connect(context)
    uid = _uid(cluster)
    if uid is None:
        progress.note(
            "you may not get namespace kube-system: whether this is the same cluster as"
            " before is not known"
        )
    else:
        require_cluster(paths, cluster.context, uid)
    home = ensure_home(paths, cluster.context)
    trust = cluster.find(Key("v1", "ConfigMap", mesh.namespace, TRUST))
    require_ours(home, trust, cluster.context)
    if uid is not None:
        remember_cluster(home, uid)
    return Site(cluster, mesh, home, paths, root, progress)


def _uid(cluster: Cluster) -> str | None:
    """What tells a cluster from all others; None for who may not see it."""
    try:
        found = cluster.get(Key("v1", "Namespace", "", "kube-system"))
    except Forbidden:
        return None
    return str(found["metadata"]["uid"])
