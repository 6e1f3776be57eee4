"""What goes and what stays when a mesh is taken away."""

from __future__ import annotations

import pytest
from kube_fakes import FakeCluster, Said, made

from paymesh.kube import undeploy
from paymesh.kube.objects import Object, key
from paymesh.kube.wait import Deadline
from paymesh.mesh import load_mesh

_MESH = load_mesh(port_offset=0)
_FOREIGN = {"labels": {}, "managedFields": []}


def _namespaces() -> list[Object]:
    names = ["paymesh", "paymesh-platform", "spire-server", "spire-system"]
    return [made("Namespace", name, "") for name in names]


def _mesh() -> list[Object]:
    version = {"name": "v1alpha1", "served": True}
    spec = {
        "group": "spire.spiffe.io",
        "names": {"kind": "ClusterSPIFFEID"},
        "versions": [version],
    }
    return [
        *_namespaces(),
        made("Deployment", "ledger"),
        made("ConfigMap", "kube-root-ca.crt", metadata=_FOREIGN),
        made("ServiceAccount", "default", metadata=_FOREIGN),
        made("ConfigMap", "spire-bundle", "spire-system", metadata=_FOREIGN),
        made(
            "PersistentVolumeClaim",
            "data-postgres-0",
            "paymesh-platform",
            metadata={"labels": {"app.kubernetes.io/name": "postgres"}},
        ),
        made("ClusterRole", "paymesh-spire-server", ""),
        made("ClusterSPIFFEID", "paymesh-ledger", ""),
        made("CustomResourceDefinition", "clusterspiffeids.spire.spiffe.io", "", spec=spec),
    ]


def _others() -> list[Object]:
    return [
        made("Namespace", "default", "", metadata=_FOREIGN),
        made("Deployment", "theirs", "default", metadata=_FOREIGN),
        made("ClusterRole", "theirs", "", metadata=_FOREIGN),
    ]


def _run(cluster: FakeCluster, *, keep_data: bool = False) -> Said:
    said = Said()
    wanted = undeploy.plan(cluster, _MESH, keep_data=keep_data)
    undeploy.undeploy(cluster, wanted, said, Deadline(5), keep_data=keep_data)
    return said


def test_nothing_of_ours_is_left_and_nothing_else_is_touched() -> None:
    """What was there before is what is there afterwards."""
    cluster = FakeCluster(*_mesh(), *_others())
    _run(cluster)
    assert set(cluster.objects) == {key(value) for value in _others()}


def test_it_is_safe_to_run_twice() -> None:
    """The second time there is nothing to do, and that is known beforehand."""
    cluster = FakeCluster(*_mesh())
    assert not undeploy.plan(cluster, _MESH).is_empty
    _run(cluster)
    assert undeploy.plan(cluster, _MESH).is_empty
    _run(cluster)


def test_workloads_go_first_and_spire_last() -> None:
    """A pod's volume is let go by a driver that is still there."""
    cluster = FakeCluster(*_mesh())
    _run(cluster)
    gone = [place.name for call, place in cluster.calls if call == "delete"]
    order = ["paymesh-ledger", "paymesh", "paymesh-platform", "spire-server", "spire-system"]
    assert [name for name in gone if name in order] == order
    assert gone[-1] == "clusterspiffeids.spire.spiffe.io"


def test_what_is_lost_is_said_beforehand() -> None:
    """Volumes are named."""
    wanted = undeploy.plan(FakeCluster(*_mesh()), _MESH)
    assert [claim.name for claim in wanted.claims] == ["data-postgres-0"]


@pytest.mark.parametrize("kind", ["Deployment", "Secret", "Pod", "PersistentVolumeClaim"])
def test_somebody_elses_work_in_our_namespace_stays(kind: str) -> None:
    """The namespace stays for it, without what is ours, and the user is told."""
    theirs = made(kind, "theirs", metadata=_FOREIGN)
    cluster = FakeCluster(*_mesh(), theirs)
    said = _run(cluster)
    left = set(cluster.objects)
    assert key(theirs) in left
    assert key(made("Namespace", "paymesh", "")) in left
    assert key(made("Deployment", "ledger")) not in left
    assert any("theirs" in note for note in said.notes)


def test_data_can_be_kept() -> None:
    """Volumes and Secrets of the databases, and nothing else of their namespace."""
    password = made("Secret", "postgres-admin", "paymesh-platform")
    server = made("StatefulSet", "postgres", "paymesh-platform")
    cluster = FakeCluster(*_mesh(), password, server)
    assert undeploy.plan(cluster, _MESH, keep_data=True).claims == []
    _run(cluster, keep_data=True)
    left = {(place.kind, place.name) for place in cluster.objects}
    assert left == {
        ("Namespace", "paymesh-platform"),
        ("PersistentVolumeClaim", "data-postgres-0"),
        ("Secret", "postgres-admin"),
    }


def test_finalizers_of_ours_are_removed_when_their_controller_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody else would; those of others are left alone."""
    monkeypatch.setattr(undeploy, "_FINALIZER_SECONDS", 0.0)
    held = made("ClusterSPIFFEID", "paymesh-held", "", metadata={"finalizers": ["spire"]})
    cluster = FakeCluster(*_mesh(), held)
    cluster.stuck.add(key(held))
    _run(cluster)
    assert cluster.objects == {}


def test_a_definition_with_others_objects_stays() -> None:
    """They would go with it."""
    theirs = made("ClusterSPIFFEID", "theirs", "", metadata=_FOREIGN)
    cluster = FakeCluster(*_mesh(), theirs)
    said = _run(cluster)
    kinds = {place.kind for place in cluster.objects}
    assert kinds == {"ClusterSPIFFEID", "CustomResourceDefinition"}
    assert any("not ours" in note for note in said.notes)
