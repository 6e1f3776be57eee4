"""What the manifests of a workload consist of follows from its lines in deploy/mesh.yaml."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from paymesh.grants import Grant, Grants, load_grants
from paymesh.mesh import Mesh, Workload, load_mesh
from paymesh.render import kubernetes

Object = dict[str, Any]
_WORKLOADS = Path("deploy/k8s/base/workloads")
_POLICIES = Path("deploy/k8s/components/network-policies/workloads.yaml")
_PLAIN = Workload(
    name="plain",
    kind="service",
    uid_offset=6,
    port=18504,
    pdp_port=18514,
    rpc_service="paymesh.plain.v1.PlainService",
    database=None,
    egress=(),
)


@pytest.fixture
def mesh() -> Mesh:
    """The mesh with one service more, which has neither a database nor a provider."""
    mesh = load_mesh(port_offset=0)
    return dataclasses.replace(mesh, workloads={**mesh.workloads, "plain": _PLAIN})


@pytest.fixture
def files(mesh: Mesh) -> dict[Path, list[Object]]:
    """The manifests of that mesh."""
    return kubernetes.manifests(mesh, load_grants())


def _policy(files: dict[Path, list[Object]], name: str) -> Object:
    spec: Object = next(p for p in files[_POLICIES] if p["metadata"]["name"] == name)["spec"]
    return spec


def _pod(files: dict[Path, list[Object]], workload: str) -> Object:
    spec: Object = next(
        o for o in files[_WORKLOADS / f"{workload}.yaml"] if o["kind"] == "Deployment"
    )["spec"]["template"]["spec"]
    return spec


def test_a_new_workload_is_a_file_in_the_kustomization(files: dict[Path, list[Object]]) -> None:
    """A service that is added to the mesh is deployed: nothing else has to be named."""
    (kustomization,) = files[_WORKLOADS / "kustomization.yaml"]
    assert "plain.yaml" in kustomization["resources"]
    kinds = [value["kind"] for value in files[_WORKLOADS / "plain.yaml"]]
    assert kinds == ["ServiceAccount", "Service", "Deployment", "PodDisruptionBudget"]


def test_no_database_is_no_dsn_and_no_way_there(files: dict[Path, list[Object]]) -> None:
    """A service is told of a database, and let to it, only if it has one."""
    for workload, has in (("ledger", True), ("plain", False)):
        pod = _pod(files, workload)
        names = {variable["name"] for variable in pod["containers"][0]["env"]}
        (secret,) = [v for v in pod["volumes"] if v["name"] == "app-secrets"]
        keys = {item["key"] for item in secret["secret"]["items"]}
        ports = {
            port["port"] for rule in _policy(files, workload)["egress"] for port in rule["ports"]
        }
        assert ("PAYMESH_DSN_FILE" in names, "dsn" in keys, 5432 in ports) == (has, has, has)


def test_nobody_who_may_call_is_nobody_who_gets_in(
    mesh: Mesh, files: dict[Path, list[Object]]
) -> None:
    """A service without a grant is closed; the first grant opens it for that caller, both ways."""
    assert "Ingress" not in _policy(files, "plain")["policyTypes"]
    rpc = "/paymesh.plain.v1.PlainService/Do"
    grants = load_grants()
    more = Grants((*grants.grants, Grant("new", "ledger", rpc, (), "test")), grants.closed)
    granted = kubernetes.manifests(mesh, more)
    (rule,) = _policy(granted, "plain")["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "ledger"}}}]
    assert _policy(granted, "ledger")["egress"][-1] == {
        "to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "plain"}}}],
        "ports": [{"protocol": "TCP", "port": 18504}],
    }


def test_sockets_of_one_machine_are_the_same_in_a_pod(files: dict[Path, list[Object]]) -> None:
    """Envoy's committed relative path to SPIRE's socket is right in a pod."""
    envoy = _pod(files, "ledger")["initContainers"][1]
    mounts = {mount["name"]: mount["mountPath"] for mount in envoy["volumeMounts"]}
    assert Path(envoy["workingDir"], "..", "spire-agent").resolve() == Path(mounts["spire"])
