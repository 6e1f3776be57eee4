"""Which RPCs each workload's app serves, as the committed descriptors say."""

from __future__ import annotations

from pathlib import Path

from paymesh.mesh import Mesh, repository_root
from paymesh.render.rpcs import rpcs_of

_DESCRIPTORS = Path("policies", "descriptors.binpb")


def served(mesh: Mesh, root: Path | None = None) -> dict[str, list[str]]:
    """By workload, the whole paths of what it serves: its own service's RPCs, and those of
    the services that belong to no one workload because all have them: health, reflection.

    Args:
        mesh: the workloads.
        root: of the checkout whose descriptors are meant.
    """
    found = rpcs_of(((root or repository_root()) / _DESCRIPTORS).read_bytes())
    own = {workload.rpc_service for workload in mesh.services()}
    return {
        workload.name: [
            rpc.path
            for rpc in found
            if rpc.service == workload.rpc_service or rpc.service not in own
        ]
        for workload in mesh.services()
    }
