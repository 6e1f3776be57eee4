"""The cluster's manifests, as far as they follow from the mesh and the grants.

The rest of `deploy/k8s` is written by hand: what differs between environments,
and what runs beside the workloads.
"""

from __future__ import annotations

from pathlib import Path

from paymesh.grants import Grants
from paymesh.mesh import Mesh
from paymesh.render.kubernetes import network, workloads
from paymesh.render.kubernetes.admission import admission
from paymesh.render.kubernetes.common import PART, Object
from paymesh.render.kubernetes.identities import identities

ROOT = Path("deploy/k8s")
_WORKLOADS = ROOT / "base" / "workloads"
_COMPONENTS = ROOT / "components"
_PROVIDERS = "providers.yaml"


def manifests(mesh: Mesh, grants: Grants) -> dict[Path, list[Object]]:
    """Repository-relative files and the objects in each."""
    files = {
        _WORKLOADS / f"{workload.name}.yaml": workloads.objects(mesh, workload)
        for workload in mesh.workloads.values()
    }
    files[_WORKLOADS / _PROVIDERS] = workloads.provider_names(mesh)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": mesh.namespace,
        # For the ConfigMaps of the bases; what stands here has its labels.
        "labels": [{"pairs": {**PART, "app.kubernetes.io/component": "workload"}}],
        # Bases of their own, because kustomize reads no file from outside its root.
        "resources": ["../../../../envoy", "../../../../policies", *(path.name for path in files)],
    }
    return {
        **files,
        _WORKLOADS / "kustomization.yaml": [kustomization],
        _COMPONENTS / "network-policies" / "workloads.yaml": network.workload_policies(
            mesh, grants
        ),
        _COMPONENTS / "network-policies" / "platform.yaml": network.platform_policies(mesh),
        _COMPONENTS / "simulators" / "network-policies.yaml": network.simulator_policies(mesh),
        _COMPONENTS / "admission" / "policy.yaml": admission(mesh),
        _COMPONENTS / "spire" / "identities" / "identities.yaml": identities(mesh),
    }
