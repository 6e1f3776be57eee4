"""What the SPIRE controller manager registers: the same identities as on one machine."""

from __future__ import annotations

from paymesh.mesh import Mesh
from paymesh.render.kubernetes.common import NAME_LABEL, NAMESPACE_LABEL, Object, labels

CLASS_NAME = "paymesh"


def identities(mesh: Mesh) -> list[Object]:
    """One ClusterSPIFFEID for each workload.

    The pods are found by their label; who gets the identity is decided by namespace,
    service account and container, which the agent learns from the kubelet.
    """
    return [
        {
            "apiVersion": "spire.spiffe.io/v1alpha1",
            "kind": "ClusterSPIFFEID",
            "metadata": {
                "name": f"{mesh.namespace}-{workload.name}",
                "labels": labels(workload.name, "spire"),
            },
            "spec": {
                "className": CLASS_NAME,
                "spiffeIDTemplate": "spiffe://{{ .TrustDomain }}"
                f"/ns/{mesh.namespace}/sa/{workload.name}",
                "dnsNameTemplates": [f"{workload.name}.{{{{ .TrustDomain }}}}"],
                "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: mesh.namespace}},
                "podSelector": {"matchLabels": {NAME_LABEL: workload.name}},
                "workloadSelectorTemplates": [
                    f"k8s:ns:{mesh.namespace}",
                    f"k8s:sa:{workload.name}",
                    # A job speaks for itself; elsewhere the app never holds the key.
                    f"k8s:container-name:{'app' if workload.kind == 'job' else 'envoy'}",
                ],
                "ttl": f"{mesh.identity.x509_svid_ttl_seconds}s",
                "jwtTtl": f"{mesh.identity.jwt_svid_ttl_seconds}s",
            },
        }
        for workload in mesh.workloads.values()
    ]
