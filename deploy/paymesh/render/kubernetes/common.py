"""Names, labels and small pieces that all manifests share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from paymesh.mesh import Mesh

Object = dict[str, Any]

NAME_LABEL = "app.kubernetes.io/name"
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
KIND_LABEL = "paymesh.internal/kind"

PART = {"app.kubernetes.io/part-of": "paymesh"}

# Pods that are no workloads, by the value of NAME_LABEL.
POSTGRES = "postgres"
POSTGRES_ROLES = "postgres-roles"
BUNDLE_SERVER = "bundle-server"
SIMULATORS = "simulators"

# An image of the project cannot be pulled from anywhere: a cluster that does not
# have it fails closed instead of running a stranger's. Overlays name a registry.
SERVICES_IMAGE = "paymesh.internal/services:0.1.0"
PDP_IMAGE = "paymesh.internal/pdp:0.1.0"
ENVOY_IMAGE = "docker.io/envoyproxy/envoy:v1.40.0"

# Of every container: Pod Security `restricted`, and nothing to write to but volumes.
SECURITY_CONTEXT: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pod_security_context(uid: int) -> Object:
    """Of a pod whose containers are one user, in no other group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
        "fsGroup": uid,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def labels(name: str, component: str, **more: str) -> dict[str, str]:
    """The labels of an object that belongs to `name`."""
    return {
        NAME_LABEL: name,
        **PART,
        "app.kubernetes.io/component": component,
        **more,
    }


def metadata(mesh: Mesh, name: str, more: Mapping[str, str] | None = None) -> Object:
    """The metadata of a workload's object, in the workloads' namespace."""
    return {
        "name": name,
        "namespace": mesh.namespace,
        "labels": {**labels(name, "workload"), **(more or {})},
    }


def platform_namespace(mesh: Mesh) -> str:
    """Where the bundle server, the database and the migrations run."""
    return mesh.kubernetes.namespaces["platform"]


def names_selector(names: Iterable[str]) -> Object:
    """Selects the pods of the named workloads."""
    wanted = sorted(names)
    if len(wanted) == 1:
        return {"matchLabels": {NAME_LABEL: wanted[0]}}
    return {"matchExpressions": [{"key": NAME_LABEL, "operator": "In", "values": wanted}]}


def migration(workload: str) -> str:
    """The Job that brings a workload's database to its schema."""
    return f"migrate-{workload}"
