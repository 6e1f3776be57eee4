"""What goes and what stays when a mesh is taken away."""

from __future__ import annotations

import pytest
from kube_fakes import FakeCluster, Said, made

from paymesh.kube import undeploy
from paymesh.kube.errors import ClusterError, Stuck
from paymesh.kube.objects import Key, Object, key
from paymesh.kube.wait import Deadline
from paymesh.mesh import load_mesh

_MESH = load_mesh(port_offset=0)
_FOREIGN = {"labels": {}, "managedFields": []}
_PLATFORM = "paymesh-platform"
_PART_OF, _NAME = "app.kubernetes.io/part-of", "app.kubernetes.io/name"


def _namespaces() -> list[Object]:
    names = ["paymesh", _PLATFORM, "spire-server", "spire-system"]
    return [made("Namespace", name, "") for name in names]


def _claim(name: str, workload: str, **labels: str) -> Object:
    found = {_PART_OF: "paymesh", _NAME: workload, **labels}
    metadata = {"labels": found, "managedFields": []}
    return made("PersistentVolumeClaim", name, _PLATFORM, metadata=metadata)


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
        _claim("data-postgres-0", "postgres"),
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


def _room_of(place: Key) -> str:
    return place.name if place.kind == "Namespace" else place.namespace


def _run(cluster: FakeCluster, *, keep_data: bool = False) -> Said:
    said = Said()
    wanted = undeploy.plan(cluster, _MESH, keep_data=keep_data)
    undeploy.undeploy(cluster, wanted, said, Deadline(0.05))
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
    order = ["paymesh", _PLATFORM, "paymesh-ledger", "spire-server", "spire-system"]
    assert [name for name in gone if name in order] == order
    assert gone[-1] == "clusterspiffeids.spire.spiffe.io"


@pytest.mark.parametrize("namespace", ["paymesh", _PLATFORM, "spire-server"])
def test_a_shared_namespace_changes_nothing_about_the_order(namespace: str) -> None:
    """A Secret of somebody else, as cert-manager makes them, keeps a namespace and no more."""
    running = [
        made("Deployment", "bundle-server", _PLATFORM),
        made("StatefulSet", "spire-server", "spire-server", spec={}),
        made("DaemonSet", "spire-agent", "spire-system"),
    ]
    theirs = made("Secret", "theirs", namespace, metadata=_FOREIGN)
    cluster = FakeCluster(*_mesh(), *running, theirs)
    _run(cluster)
    gone = [place for call, place in cluster.calls if call == "delete"]
    last = max(i for i, place in enumerate(gone) if _room_of(place) in {"paymesh", _PLATFORM})
    first = min(i for i, place in enumerate(gone) if _room_of(place).startswith("spire-"))
    assert last < first
    assert key(theirs) in cluster.objects


def test_spire_waits_for_the_last_of_our_pods() -> None:
    """Its driver unmounts what they have mounted: a controller is deleted in the foreground,
    and a pod on its way out is waited for.
    """
    pod = made("Pod", "ledger-1", metadata={"finalizers": ["held"]})
    theirs = made("Secret", "theirs", metadata=_FOREIGN)
    cluster = FakeCluster(*_mesh(), theirs, pod)
    cluster.stuck.add(key(pod))
    with pytest.raises(Stuck, match="Pod paymesh/ledger-1 is still there"):
        _run(cluster)
    assert key(made("Deployment", "ledger")) in cluster.foreground
    assert not [p for call, p in cluster.calls if call == "delete" and p.kind == "Namespace"]


def test_what_is_lost_is_said_beforehand() -> None:
    """Volumes and Secrets are named."""
    secret = made("Secret", "ledger")
    wanted = undeploy.plan(FakeCluster(*_mesh(), secret), _MESH)
    assert [place.name for place in wanted.lost] == ["ledger", "data-postgres-0"]


@pytest.mark.parametrize(
    "kind",
    ["Deployment", "Secret", "Pod", "PersistentVolumeClaim", "ResourceQuota", "Endpoints"],
)
def test_somebody_elses_work_in_our_namespace_stays(kind: str) -> None:
    """The namespace stays for it, without what is ours, and the user is told."""
    _stays(made(kind, "theirs", metadata=_FOREIGN))


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("networking.k8s.io/v1", "Ingress"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("cert-manager.io/v1", "Certificate"),
        ("external-secrets.io/v1", "ExternalSecret"),
        ("discovery.k8s.io/v1", "EndpointSlice"),
    ],
)
def test_kinds_that_no_deployment_knows_are_seen(api_version: str, kind: str) -> None:
    """The cluster says what kinds there are."""
    _stays({**made(kind, "theirs", metadata=_FOREIGN), "apiVersion": api_version})


def _stays(theirs: Object) -> None:
    cluster = FakeCluster(*_mesh(), theirs)
    said = _run(cluster)
    left = set(cluster.objects)
    assert key(theirs) in left
    assert key(made("Namespace", "paymesh", "")) in left
    assert key(made("Deployment", "ledger")) not in left
    assert any("theirs" in note for note in said.notes)


def test_what_the_cluster_makes_by_itself_keeps_no_namespace() -> None:
    """Endpoints of our Services, events, what one of our objects owns, measurements."""
    owner = {"ownerReferences": [{"uid": f"uid of {key(made('Deployment', 'ledger'))}"}]}
    slices = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    made_by_it = [
        made("Service", "ledger"),
        made("Endpoints", "ledger", metadata=_FOREIGN),
        made("EndpointSlice", "ledger-1", metadata={**_FOREIGN, "labels": slices}),
        made("Event", "pulled", metadata=_FOREIGN),
        made("ReplicaSet", "ledger-1", metadata={**_FOREIGN, **owner}),
        {**made("PodMetrics", "p", metadata=_FOREIGN), "apiVersion": "metrics.k8s.io/v1"},
    ]
    cluster = FakeCluster(*_mesh(), *made_by_it)
    _run(cluster)
    assert cluster.objects == {}


def test_an_owner_that_is_not_in_the_namespace_makes_nothing_ours() -> None:
    """Somebody's object of the whole cluster may own something in each namespace."""
    owner = {"ownerReferences": [{"uid": "of a ClusterExternalSecret"}]}
    _stays(made("Secret", "theirs", metadata={**_FOREIGN, **owner}))


def test_claims_are_ours_by_the_stateful_set_that_they_belong_to() -> None:
    """With its StatefulSet or without, but not because of a name or a label alone."""
    templates = [{"metadata": {"name": "data"}}]
    server = made("StatefulSet", "spare", _PLATFORM, spec={"volumeClaimTemplates": templates})
    ours = _claim("data-spare-0", "spare", **{_PART_OF: ""})
    theirs = [
        _claim("data-spare-x", "spare", **{_PART_OF: ""}),
        _claim("data-spare-1", "spare", **{_PART_OF: "theirs"}),
        _claim("backup", "postgres"),
        _claim("data-postgres-1", "postgres", **{_PART_OF: ""}),
        _claim("data-theirs-0", ""),
    ]
    cluster = FakeCluster(*_mesh(), server, ours, *theirs)
    lost = undeploy.plan(cluster, _MESH).lost
    assert [place.name for place in lost] == ["data-postgres-0", "data-spare-0"]
    _run(cluster)
    left = {place for place in cluster.objects if place.kind == "PersistentVolumeClaim"}
    assert left == {key(claim) for claim in theirs}


def test_our_label_alone_makes_nothing_ours_outside_of_our_namespaces() -> None:
    """Anybody may set it: on a namespace, in a namespace, and on what has none."""
    theirs = [
        made("Namespace", "payments-team", ""),
        made("Deployment", "dashboard", "payments-team"),
        made("Secret", "dashboard", "payments-team"),
        made("ClusterRole", "theirs", "", metadata={"managedFields": [{"manager": "helm"}]}),
        made("ClusterSPIFFEID", "theirs", "", metadata={"managedFields": []}),
    ]
    cluster = FakeCluster(*_mesh(), *theirs)
    _run(cluster)
    assert {key(value) for value in theirs} <= set(cluster.objects)


def test_a_namespace_without_our_label_loses_only_what_is_ours() -> None:
    """It was there before the mesh, which only has its name in common with it."""
    mesh = [value for value in _mesh() if key(value) != key(made("Namespace", "paymesh", ""))]
    theirs = made("Namespace", "paymesh", "", metadata=_FOREIGN)
    cluster = FakeCluster(*mesh, theirs)
    _run(cluster)
    left = {(place.kind, place.name) for place in cluster.objects}
    ours = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
    assert left == {("Namespace", "paymesh"), *ours}
    assert undeploy.plan(cluster, _MESH).is_empty


def test_a_part_of_the_api_that_does_not_answer_stops_before_anything_goes() -> None:
    """Nobody can say what stands in the namespaces then."""

    class Silent(FakeCluster):
        def request(self, method: str, path: str, *, what: str) -> Object:
            if path == "/apis/apps/v1":
                raise ClusterError("apps/v1: 503")
            return super().request(method, path, what=what)

    with pytest.raises(ClusterError, match=r"Until apps/v1 answers, or its APIService"):
        undeploy.plan(Silent(*_mesh()), _MESH)


def test_data_can_be_kept() -> None:
    """Volumes and Secrets of the databases, and nothing else of their namespace."""
    password = made("Secret", "postgres-admin", _PLATFORM)
    server = made("StatefulSet", "postgres", _PLATFORM, spec={})
    cluster = FakeCluster(*_mesh(), password, server)
    assert undeploy.plan(cluster, _MESH, keep_data=True).lost == []
    _run(cluster, keep_data=True)
    left = {(place.kind, place.name) for place in cluster.objects}
    assert left == {
        ("Namespace", _PLATFORM),
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
