"""The cluster's gateway as if it stood on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from paymesh.kube import forward
from paymesh.kube.site import Site
from paymesh.mesh import Mesh
from paymesh.paths import Paths

GATEWAY = "gateway"


@contextlib.contextmanager
def open_gateway(site: Site) -> Iterator[tuple[Paths, Mesh]]:
    """Paths and mesh for `dial.gateway` and tokens: a loopback port leads to a ready gateway.

    Raises:
        ClusterError: no gateway is ready.
    """
    workload = site.mesh.workloads[GATEWAY]
    port = int(workload.port or 0)
    with forward.to_workload(site.cluster, site.mesh.namespace, GATEWAY, port) as local:
        moved = dataclasses.replace(workload, port=local)
        workloads = {**site.mesh.workloads, GATEWAY: moved}
        mesh = dataclasses.replace(site.mesh, address="127.0.0.1", workloads=workloads)
        yield site.home.paths, mesh
