"""The mesh that these tests run against: deployed by `make test-k8s` to KUBECONFIG's cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from k8s.world import Cluster
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh
from paymesh.paths import Paths, default_paths

_OUTSIDE = "paymesh-test"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The deployed mesh; without one the tests say what is missing instead of passing."""
    name = Cluster.kubectl("config", "current-context", check=False).strip()
    if not name or name.startswith("error"):
        pytest.exit("no cluster: set KUBECONFIG and run `make test-k8s`", returncode=2)
    base = default_paths()
    home = base.home / "clusters" / name
    if not home.is_dir():
        pytest.exit(f"{home} is not there: run `make test-k8s`, which deploys", returncode=2)
    return Cluster(Paths(home=home, cache=base.cache), load_mesh(port_offset=0), load_grants())


@pytest.fixture(scope="session")
def outside(cluster: Cluster) -> Iterator[str]:
    """A namespace that has nothing to do with the mesh and no NetworkPolicy of its own."""
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": _OUTSIDE,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    try:
        yield _OUTSIDE
    finally:
        if not os.environ.get("PAYMESH_KEEP_TEST_NAMESPACE"):
            cluster.kubectl("delete", "namespace", _OUTSIDE, "--wait")
