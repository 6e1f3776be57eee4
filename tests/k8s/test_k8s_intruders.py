"""Pods that do not belong: what they can reach, whom they are taken for, what they are told."""

from __future__ import annotations

import json
import time

import pytest

from k8s.world import Cluster, Place, answer
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh

_MESH = load_mesh(port_offset=0)
_EDGES = load_grants().edges(_MESH)
_PORTS = _MESH.kubernetes.ports
_SERVICES = [workload.name for workload in _MESH.services()]
_WORKLOAD_API = "/run/paymesh/spire-agent/api.sock"
_NODE_PORTS = range(30000, 32768)
_SETTLING_SECONDS = 15

# What somebody who looks for a way in tries first, whether or not it is used here.
_USUAL_PORTS = (
    *(22, 53, 80, 443, 2379, 5432, 6379, 6443, 8000, 8080, 8081, 8181, 8282, 8443, 8500, 9000),
    *(9090, 9091, 9100, 9901, 9902, 10250, 10255, 10256, 15000, 15001, 15004, 15006, 15020),
    *(15021, 15090, 50051),
)


def _declared() -> set[int]:
    ports = {*_PORTS.values(), *_MESH.ports.values()}
    for workload in _MESH.workloads.values():
        ports |= {port for port in (workload.port, workload.pdp_port) if port}
    return ports


def _pods(cluster: Cluster) -> dict[str, str]:
    """Address → name of every pod of this deployment that has an address of its own."""
    found = {}
    for pod in cluster.objects("pods", "-A", "-l", "app.kubernetes.io/part-of=paymesh"):
        address = pod["status"].get("podIP")
        if address and not pod["spec"].get("hostNetwork") and pod["status"]["phase"] == "Running":
            found[address] = pod["metadata"]["labels"]["app.kubernetes.io/name"]
    return found


def _reached(cluster: Cluster, place: Place) -> set[tuple[str, int]]:
    """(workload, port) of what this place can connect to, among all pods and usual ports."""
    pods = _pods(cluster)
    ports = sorted({*_USUAL_PORTS, *_declared()})
    addresses = [(address, port) for address in pods for port in ports]
    (outcomes,) = cluster.inside(place, {"do": "connect", "addresses": addresses})
    return {
        (pods[address], port)
        for (address, port), outcome in zip(addresses, outcomes, strict=True)
        if outcome == "open"
    }


def _settles(cluster: Cluster, place: Place, expected: set[tuple[str, int]]) -> None:
    """What the place reaches becomes this and stays so. A network enforces a new pod's
    policies a moment after the pod has started, as Kubernetes' documentation says.
    """
    found: set[tuple[str, int]] = set()
    deadline = time.monotonic() + _SETTLING_SECONDS
    while (found := _reached(cluster, place)) != expected:
        assert time.monotonic() < deadline, (found - expected, expected - found)
    assert _reached(cluster, place) == expected


def test_a_pod_of_another_namespace_reaches_the_front_door_only(
    cluster: Cluster, outside: str
) -> None:
    """Of all pods and ports a stranger can connect to the gateway's public listener alone."""
    with cluster.pod("stranger", outside) as place:
        _settles(cluster, place, {("gateway", _MESH.workloads["gateway"].port)})


def test_a_pod_of_another_namespace_has_no_identity_and_no_call(
    cluster: Cluster, outside: str
) -> None:
    """A stranger gets no SVID, and without the network would still get no handshake."""
    cluster.kubectl(
        "apply", "-f", "-",
        stdin=json.dumps(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "payments", "namespace": outside},
            }
        ),
    )  # fmt: skip
    stolen = {"app.kubernetes.io/name": "payments", "app.kubernetes.io/part-of": "paymesh"}
    with cluster.pod(
        "stolen-name", outside, labels=stolen, service_account="payments", mesh_socket=True
    ) as place:
        (who,) = cluster.inside(place, {"do": "identity", "socket": _WORKLOAD_API})
        assert who["spiffe_id"] is None
        assert who["problem"]
        _settles(cluster, place, {("gateway", _MESH.workloads["gateway"].port)})


def test_a_pod_slipped_into_the_namespace_reaches_nothing(cluster: Cluster) -> None:
    """Past admission, a pod among the workloads that is none of them reaches no pod at all
    and is nobody.
    """
    with cluster.slipped_in("slipped-in", {}, "default") as place:
        (who,) = cluster.inside(place, {"do": "identity", "socket": _WORKLOAD_API})
        assert who["spiffe_id"] is None
        _settles(cluster, place, set())


def test_a_workloads_label_without_its_service_account_is_nobody(cluster: Cluster) -> None:
    """Past admission, a pod that carries another workload's label gets into its network
    position and no further: it has no identity, and the callee ends the handshake.
    """
    labels = {"app.kubernetes.io/name": "payments"}
    with (
        cluster.nothing_runs_in("ledger"),
        cluster.slipped_in("mislabelled", labels, "default") as place,
    ):
        (who,) = cluster.inside(place, {"do": "identity", "socket": _WORKLOAD_API})
        assert who["spiffe_id"] is None
        rpc = "/paymesh.ledger.v1.LedgerService/PostTransfer"
        bundle = cluster.svid("statements").bundle
        nobody = cluster.straight("ledger", None, rpc)
        nobody["svid"] = {"certificates": "", "key": "", "bundle": bundle.decode()}
        plain, without = cluster.inside(place, cluster.straight("ledger", None, rpc), nobody)
        assert answer(plain).refused_in_handshake, plain
        assert answer(without).refused_in_handshake, without


@pytest.mark.parametrize("caller", _SERVICES)
def test_a_workload_reaches_its_grants_and_its_own_needs_only(
    cluster: Cluster, caller: str
) -> None:
    """From inside a workload's pod nothing is reachable but its granted callees' mesh
    listeners, the policy bundles, its database and its provider.
    """
    workload = _MESH.workloads[caller]
    callees = [name for name, callers in _EDGES.items() if caller in callers]
    expected = {(callee, _MESH.workloads[callee].port) for callee in callees}
    expected.add(("bundle-server", _PORTS["bundle_server"]))
    if workload.database:
        expected.add(("postgres", _PORTS["postgres"]))
    expected |= {("simulators", _MESH.external[name].port) for name in workload.egress}
    # Its own listeners: a pod reaches its own address whatever the policies say.
    own = {workload.port, _PORTS["probe"], _PORTS["pdp_diagnostics"]}
    found = _reached(cluster, cluster.place(caller))
    assert found - {(caller, port) for port in own} == expected


@pytest.mark.parametrize("workload", [*_SERVICES, "gateway"])
def test_every_port_that_listens_in_a_pod_is_declared(cluster: Cluster, workload: str) -> None:
    """A workload's pod listens on its mesh port and on those for the kubelet: neither the
    app, Envoy's administration nor the policy engine's data API has a port of its own.
    """
    expected = {_MESH.workloads[workload].port, _PORTS["probe"]}
    if workload != "gateway":
        expected.add(_PORTS["pdp_diagnostics"])
    for pod in cluster.pods(workload):
        place = Place(_MESH.namespace, pod["metadata"]["name"])
        (ports,) = cluster.inside(place, {"do": "listening"})
        assert set(ports) == expected


@pytest.mark.parametrize("callee", _SERVICES)
def test_the_ports_for_the_kubelet_tell_health_and_nothing_else(
    cluster: Cluster, callee: str
) -> None:
    """Who does reach a probe's port, because he runs in the pod, learns health there and
    can change nothing: no administration, no configuration, no policy.
    """
    probe, diagnostics = _PORTS["probe"], _PORTS["pdp_diagnostics"]
    urls = {
        f"http://127.0.0.1:{probe}/ready": 200,
        f"http://127.0.0.1:{probe}/config_dump": 404,
        f"http://127.0.0.1:{probe}/quitquitquit": 404,
        f"http://127.0.0.1:{probe}/": 404,
        f"http://127.0.0.1:{diagnostics}/health": 200,
        f"http://127.0.0.1:{diagnostics}/v1/data": 401,
        f"http://127.0.0.1:{diagnostics}/v1/policies": 401,
        f"http://127.0.0.1:{_MESH.workloads[callee].pdp_port}/v1/data": 401,
        f"http://127.0.0.1:{_MESH.workloads[callee].pdp_port}/v1/config": 401,
    }
    said = cluster.inside(cluster.place(callee), *({"do": "http", "url": url} for url in urls))
    assert {url: reply["status"] for url, reply in zip(urls, said, strict=True)} == urls


def test_policy_bundles_are_for_token_holders(cluster: Cluster) -> None:
    """The bundle server answers a pod that may connect to it, and gives it nothing."""
    host = cluster.mesh.cluster_name("bundle-server", _MESH.kubernetes.namespaces["platform"])
    url = f"https://{host}:{_PORTS['bundle_server']}/bundles/paymesh.tar.gz"
    wrong = {"do": "http", "url": url, "headers": {"Authorization": "Bearer guessed"}}
    said = cluster.inside(cluster.place("payments"), {"do": "http", "url": url}, wrong)
    assert [reply["status"] for reply in said] == [401, 401]


@pytest.mark.parametrize("workload", [*_SERVICES, "gateway"])
def test_an_app_holds_no_token_and_no_workload_api(cluster: Cluster, workload: str) -> None:
    """An app that is taken over finds no service-account token, no Workload API to ask for
    other identities, and no socket of the node's.
    """
    paths = [
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        _WORKLOAD_API,
        "/run/spire/agent-sockets/api.sock",
        "/run/containerd/containerd.sock",
        "/var/run/docker.sock",
        "/etc/paymesh/pdp-secrets/bundle-token",
        "/etc/paymesh/tls/tls.key",
    ]
    (found,) = cluster.inside(cluster.place(workload), {"do": "open", "paths": paths})
    assert found == []


def test_the_node_opens_the_front_door_only(cluster: Cluster, outside: str) -> None:
    """Among the node ports only the gateway's is there."""
    (node,) = {
        pod["status"]["hostIP"]
        for pod in cluster.pods("gateway")[:1]
    }  # fmt: skip
    services = cluster.objects("services", "-A")
    declared = {
        port["nodePort"]
        for service in services
        for port in service["spec"].get("ports", ())
        if "nodePort" in port
    }
    ours = {
        port["nodePort"]
        for service in services
        if service["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") == "paymesh"
        for port in service["spec"].get("ports", ())
        if "nodePort" in port
    }
    assert len(ours) <= 1
    addresses = [(node, port) for port in _NODE_PORTS]
    with cluster.pod("node-scanner", outside) as place:
        (outcomes,) = cluster.inside(place, {"do": "connect", "addresses": addresses})
    found = {port for port, outcome in zip(_NODE_PORTS, outcomes, strict=True) if outcome == "open"}
    assert found <= declared


@pytest.mark.parametrize("callee", _SERVICES)
def test_a_foreign_identity_is_refused_from_a_granted_position(
    cluster: Cluster, callee: str
) -> None:
    """In the network position of a granted caller, another workload's SVID is not enough."""
    granted = sorted(_EDGES[callee])
    strangers = [name for name in _MESH.workloads if name not in granted]
    rpc = f"/{_MESH.workloads[callee].rpc_service}/Get"
    with cluster.nothing_runs_in(callee):
        asked = [cluster.straight(callee, cluster.svid(name), rpc) for name in strangers]
        said = cluster.inside(cluster.place("gateway"), *asked)
    for name, reply in zip(strangers, said, strict=True):
        assert answer(reply).refused_in_handshake, (name, reply)
