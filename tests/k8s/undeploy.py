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


@pytest.mark.timeout(600)
def test_undeploy_leaves_nothing_and_can_be_run_twice(cluster: Cluster) -> None:
    """After `undeploy` no object of any kind that the cluster knows is left of the mesh,
    neither by its label nor in its namespaces.
    """
    for _ in range(2):
        done = cluster.paymesh("undeploy", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
    namespaces = {_MESH.namespace, *_MESH.kubernetes.namespaces.values()}
    there = {found["metadata"]["name"] for found in cluster.objects("namespaces")}
    assert not namespaces & there
    left = []
    for kind in _kinds(cluster):
        shown = json.loads(cluster.kubectl("get", kind, "-A", "-l", _LABEL, "-o", "json"))
        left += [f"{kind}/{found['metadata']['name']}" for found in shown["items"]]
    assert left == []
    assert "spire.spiffe.io" not in cluster.kubectl("get", "crds", "-o", "name")
