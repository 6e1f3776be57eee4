"""What each workload consists of: account, pods, their name in the cluster, disruption budget."""

from __future__ import annotations

from paymesh.mesh import Mesh, Workload
from paymesh.render.cluster import CERTIFICATE_FILE
from paymesh.render.kubernetes import containers
from paymesh.render.kubernetes.common import (
    KIND_LABEL,
    NAME_LABEL,
    Object,
    labels,
    metadata,
    pod_security_context,
)

GATEWAY_PORT = 443
PUBLIC = "public"

_REPLICAS = 2
_GRACE_SECONDS = 60
_PROGRESS_SECONDS = 300
_JOB_SECONDS = 600
_HEADLESS = "None"
# Readable by the pod's group, which is the workload's own.
_SECRET_MODE = 0o440


def objects(mesh: Mesh, workload: Workload) -> list[Object]:
    """The objects of one workload, in the order of its file."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(mesh, workload.name),
        "automountServiceAccountToken": False,
    }
    if workload.kind == "job":
        return [account, _cron_job(mesh, workload)]
    return [account, _service(mesh, workload), _deployment(mesh, workload), _budget(mesh, workload)]


def provider_names(mesh: Mesh) -> list[Object]:
    """A name in the workloads' namespace for each provider; overlays say what it stands for.

    Only addresses are looked up by it: Envoy asks for and verifies the provider's own host.
    """
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(mesh, external.name),
            "spec": {"type": "ExternalName", "externalName": external.host},
        }
        for external in mesh.external.values()
    ]


def _service(mesh: Mesh, workload: Workload) -> Object:
    selector = {NAME_LABEL: workload.name}
    if workload.kind == "gateway":
        spec: Object = {
            "type": "ClusterIP",
            "selector": selector,
            "ports": [{"name": PUBLIC, "port": GATEWAY_PORT, "targetPort": PUBLIC}],
        }
    else:
        # Headless: the callers' Envoys see each pod and balance between them.
        spec = {
            "clusterIP": _HEADLESS,
            "selector": selector,
            "ports": [{"name": "mesh", "port": workload.port, "targetPort": "mesh"}],
        }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(mesh, workload.name),
        "spec": spec,
    }


def _deployment(mesh: Mesh, workload: Workload) -> Object:
    selector = {"matchLabels": {NAME_LABEL: workload.name}}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": selector,
        "matchLabelKeys": ["pod-template-hash"],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(mesh, workload.name, {KIND_LABEL: workload.kind}),
        "spec": {
            "replicas": _REPLICAS,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": _PROGRESS_SECONDS,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "selector": selector,
            "template": {
                "metadata": {"labels": labels(workload.name, "workload")},
                "spec": {
                    **_pod(mesh, workload),
                    "terminationGracePeriodSeconds": _GRACE_SECONDS,
                    "topologySpreadConstraints": [spread],
                },
            },
        },
    }


def _budget(mesh: Mesh, workload: Workload) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(mesh, workload.name),
        "spec": {
            "minAvailable": 1,
            "selector": {"matchLabels": {NAME_LABEL: workload.name}},
            # A pod that is broken anyway does not hold up a node's drain.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _cron_job(mesh: Mesh, workload: Workload) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata(mesh, workload.name, {KIND_LABEL: workload.kind}),
        "spec": {
            "schedule": "17 4 * * *",
            "timeZone": "Etc/UTC",
            "suspend": False,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": labels(workload.name, "workload")},
                "spec": {
                    "backoffLimit": 2,
                    "activeDeadlineSeconds": _JOB_SECONDS,
                    "template": {
                        "metadata": {"labels": labels(workload.name, "workload")},
                        "spec": {**_pod(mesh, workload), "restartPolicy": "Never"},
                    },
                },
            },
        },
    }


def _pod(mesh: Mesh, workload: Workload) -> Object:
    sidecars = containers.init_containers(mesh, workload)
    return {
        "serviceAccountName": workload.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # One uid for all containers, as on one machine: the sockets are the owner's only.
        "securityContext": pod_security_context(mesh.uid(workload.name)),
        **({"initContainers": sidecars} if sidecars else {}),
        "containers": [containers.app(mesh, workload)],
        "volumes": _volumes(workload),
    }


def _volumes(workload: Workload) -> list[Object]:
    spire = {"name": "spire", "csi": {"driver": "csi.spiffe.io", "readOnly": True}}
    if workload.kind == "job":
        return [spire]
    certificate = [CERTIFICATE_FILE] if workload.kind == "gateway" else []
    shared = [
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        spire,
        _config("envoy", f"envoy-{workload.name}", "envoy.yaml", *certificate),
        _config("descriptors", "paymesh-descriptors", "descriptors.binpb"),
        {"name": "trust", "configMap": {"name": "paymesh-trust"}},
    ]
    if workload.kind == "gateway":
        return [*shared, _secret("tls", containers.TLS_SECRET, "tls.crt", "tls.key")]
    own = ["pdp-token"]
    if workload.database:
        own.append("dsn")
    if workload.egress:
        own.append("provider-key")
    floor = _config("policy-floor", "paymesh-policy-floor", "revision")
    # Not there before the first push of a policy.
    floor["configMap"]["optional"] = True
    return [
        *shared,
        _config("pdp", f"pdp-{workload.name}", "pdp.yaml"),
        floor,
        {"name": "state", "emptyDir": {"sizeLimit": "1Mi"}},
        _secret("app-secrets", workload.name, *own),
        _secret("pdp-secrets", workload.name, "bundle-token"),
    ]


def _config(volume: str, name: str, *keys: str) -> Object:
    items = [{"key": key, "path": key} for key in keys]
    return {"name": volume, "configMap": {"name": name, "items": items}}


def _secret(volume: str, name: str, *keys: str) -> Object:
    items = [{"key": key, "path": key} for key in keys]
    return {
        "name": volume,
        "secret": {"secretName": name, "defaultMode": _SECRET_MODE, "items": items},
    }
