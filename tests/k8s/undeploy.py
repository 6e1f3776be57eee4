"""Run last, and only on a mesh that the tests deployed themselves: `undeploy` leaves nothing."""

from __future__ import annotations

import json

import pytest

from k8s.world import Cluster
from paymesh.mesh import load_mesh

_MESH = load_mesh(port_offset=0)
_LABEL = "app.kubernetes.io/part-of=paymesh"


def _kinds(cluster: Cluster) -> list[str]:
    found = []
    for namespaced in ("true", "false"):
        said = cluster.kubectl(
            "api-resources", "--verbs=list", f"--namespaced={namespaced}", "-o", "name"
        )
        found += said.split()
    return [kind for kind in found if not kind.startswith("events")]


def _undeploy(cluster: Cluster) -> str:
    done = cluster.paymesh("undeploy", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _namespaces(cluster: Cluster) -> set[str]:
    return {found["metadata"]["name"] for found in cluster.objects("namespaces")}


@pytest.mark.timeout(900)
def test_undeploy_leaves_what_is_others_and_nothing_else(cluster: Cluster) -> None:
    """First with work of others, in one of our namespaces and under our label elsewhere, which
    both stay; then, when that is gone, no object of any kind that the cluster knows is left of
    the mesh, neither by its label nor in its namespaces. It can be run again.
    """
    own = {_MESH.namespace, *_MESH.kubernetes.namespaces.values()}
    quota = ("quota", "theirs", "-n", _MESH.namespace)
    dashboard = ("configmap", "paymesh-dashboard", "-n", "default")
    cluster.kubectl("create", *quota, "--hard=count/ingresses.networking.k8s.io=5")
    cluster.kubectl("create", *dashboard)
    try:
        cluster.kubectl("label", *dashboard, _LABEL)
        assert "ResourceQuota paymesh/theirs" in _undeploy(cluster)
        assert own & _namespaces(cluster) == {_MESH.namespace}
        assert cluster.objects("pods,secrets,services", "-n", _MESH.namespace) == []
        cluster.kubectl("get", *quota)
        cluster.kubectl("get", *dashboard)
    finally:
        for theirs in (quota, dashboard):
            cluster.kubectl("delete", *theirs)
    for _ in range(2):
        _undeploy(cluster)
    assert not own & _namespaces(cluster)
    left = []
    for kind in _kinds(cluster):
        shown = json.loads(cluster.kubectl("get", kind, "-A", "-l", _LABEL, "-o", "json"))
        left += [f"{kind}/{found['metadata']['name']}" for found in shown["items"]]
    assert left == []
    assert "spire.spiffe.io" not in cluster.kubectl("get", "crds", "-o", "name")
