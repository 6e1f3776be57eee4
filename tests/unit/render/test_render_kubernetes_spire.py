"""SPIRE in a cluster: its rendered configuration, and the manifests written by hand that
must say the same.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from paymesh.mesh import Mesh, load_mesh, repository_root
from paymesh.render.kubernetes import spire as kubernetes_spire
from paymesh.render.kubernetes.identities import CLASS_NAME, identities

COMPONENT = repository_root() / "deploy/k8s/components/spire"
CONTAINERS = [
    ("server.yaml", "StatefulSet", "server"),
    ("server.yaml", "StatefulSet", "controller-manager"),
    ("agent.yaml", "DaemonSet", "agent"),
    ("csi-driver.yaml", "DaemonSet", "registrar"),
]


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """deploy/mesh.yaml of this checkout."""
    return load_mesh(repository_root(), port_offset=0)


def _objects(name: str, kind: str) -> list[dict[str, Any]]:
    text = (COMPONENT / "manifests" / name).read_text("utf-8")
    return [item for item in yaml.safe_load_all(text) if item["kind"] == kind]


def _pod(name: str, kind: str) -> dict[str, Any]:
    pod: dict[str, Any] = _objects(name, kind)[0]["spec"]["template"]["spec"]
    return pod


def _container(name: str, kind: str, container: str) -> dict[str, Any]:
    return next(c for c in _pod(name, kind)["containers"] if c["name"] == container)


def test_server_admits_the_agents_of_one_service_account(mesh: Mesh) -> None:
    """A token of any other service account, cluster or audience makes no agent."""
    text = kubernetes_spire.server_conf(mesh)
    namespace = mesh.kubernetes.namespaces["spire_system"]
    assert f'service_account_allow_list = ["{namespace}:spire-agent"]' in text
    assert 'audience = ["spire-server"]' in text
    assert text.count("service_account_allow_list") == 1
    assert "x509pop" not in text
    assert "join_token" not in text


def test_attestations_are_limited(mesh: Mesh) -> None:
    """What one machine switches off, because all share its address, stays on here."""
    assert "ratelimit" not in kubernetes_spire.server_conf(mesh)


def test_lifetimes_are_those_of_one_machine(mesh: Mesh) -> None:
    """deploy/mesh.yaml decides how long identities and authorities live."""
    longer = dataclasses.replace(mesh.identity, x509_svid_ttl_seconds=1234, ca_ttl_seconds=98765)
    changed = dataclasses.replace(mesh, identity=longer)
    text = kubernetes_spire.server_conf(changed)
    assert 'default_x509_svid_ttl = "1234s"' in text
    assert 'ca_ttl = "98765s"' in text
    assert {item["spec"]["ttl"] for item in identities(changed)} == {"1234s"}


def test_kubelet_is_verified_or_plainly_not(mesh: Mesh) -> None:
    """One of both, never both: a CA beside `skip` would look like a check."""
    plain = kubernetes_spire.agent_conf(mesh)
    verified = kubernetes_spire.agent_conf(mesh, verify_kubelet=True)
    assert "skip_kubelet_verification = true" in plain
    assert "kubelet_ca_path" not in plain
    assert "kubelet_ca_path" in verified
    assert "skip_kubelet_verification" not in verified


def test_agent_has_no_administration_and_keeps_no_key(mesh: Mesh) -> None:
    """Nobody may debug or delegate through the agent, and a stolen disk has no key."""
    text = kubernetes_spire.agent_conf(mesh)
    assert "admin_socket_path" not in text
    assert "authorized_delegates" not in text
    assert 'KeyManager "memory"' in text
    assert "insecure_bootstrap" not in text


def test_manager_sees_the_mesh_and_acts_on_its_class(mesh: Mesh) -> None:
    """No pod of another namespace can get an identity, and no classless object makes one."""
    config = kubernetes_spire.controller_manager(mesh)
    assert config["cacheNamespaces"] == {mesh.namespace: {}}
    assert config["watchClassless"] is False
    assert config["className"] == CLASS_NAME
    assert config["metrics"] == {"bindAddress": "0"}
    roles = [*_objects("server-rbac.yaml", "ClusterRole")]
    everywhere = {r for role in roles for rule in role["rules"] for r in rule["resources"]}
    assert everywhere.isdisjoint({"pods", "endpoints", "secrets", "configmaps"})


def test_no_role_can_do_more_than_read_but_for_what_it_names() -> None:
    """The server writes status, token reviews and the trust bundle; the agent nothing."""
    writing = {"create", "patch", "update", "delete", "deletecollection", "*"}
    written: dict[str, list[str] | None] = {}
    for name in ("server-rbac.yaml", "agent.yaml"):
        for kind in ("Role", "ClusterRole"):
            for role in _objects(name, kind):
                for rule in role["rules"]:
                    if writing & set(rule["verbs"]):
                        written |= dict.fromkeys(rule["resources"], rule.get("resourceNames"))
    assert written == {
        "tokenreviews": None,
        "clusterspiffeids/status": None,
        "clusterstaticentries/status": None,
        "clusterfederatedtrustdomains/status": None,
        "configmaps": [kubernetes_spire.BUNDLE[0]],
    }


def test_manifests_follow_the_mesh(mesh: Mesh) -> None:
    """What stands in both a manifest and deploy/mesh.yaml is the same."""
    names = mesh.kubernetes.namespaces
    namespaces = {item["metadata"]["name"] for item in _objects("namespaces.yaml", "Namespace")}
    assert namespaces == {names["spire_server"], names["spire_system"]}
    port = mesh.kubernetes.ports["spire_server"]
    assert _objects("server.yaml", "Service")[0]["spec"]["ports"][0]["port"] == port
    server = _container("server.yaml", "StatefulSet", "server")
    assert [p["containerPort"] for p in server["ports"]] == [port]
    role = next(
        item
        for item in _objects("server-rbac.yaml", "Role")
        if item["metadata"]["name"] == "spire-controller-manager"
    )
    assert role["metadata"]["namespace"] == mesh.namespace
    policies = yaml.safe_dump(_objects("network-policies.yaml", "NetworkPolicy"))
    assert policies.count(f"port: {port}\n") == 2


def test_agent_and_driver_share_the_directory_that_pods_mount() -> None:
    """The socket is in the directory that the driver hands out, under the name Envoy opens."""
    directory = kubernetes_spire.AGENT_SOCKET.parent
    assert kubernetes_spire.AGENT_SOCKET.name == "api.sock"
    for name in ("agent.yaml", "csi-driver.yaml"):
        paths = {
            v["hostPath"]["path"] for v in _pod(name, "DaemonSet")["volumes"] if "hostPath" in v
        }
        assert str(directory) in paths
    driver = _container("csi-driver.yaml", "DaemonSet", "driver")
    assert f"-workload-api-socket-dir={directory}" in driver["args"]
    agent_paths = [
        v["hostPath"] for v in _pod("agent.yaml", "DaemonSet")["volumes"] if "hostPath" in v
    ]
    assert [path["path"] for path in agent_paths] == [str(directory)]


def test_volume_is_allowed_where_restricted_is_enforced() -> None:
    """Without this label Pod Security refuses every pod with the volume."""
    driver = _objects("csi-driver.yaml", "CSIDriver")[0]
    label = "security.kubernetes.io/csi-ephemeral-volume-profile"
    assert driver["metadata"]["labels"][label] == "restricted"


@pytest.mark.parametrize(("name", "kind", "container"), CONTAINERS)
def test_containers_have_no_privilege(name: str, kind: str, container: str) -> None:
    """But for the CSI driver itself, which mounts for others."""
    context = _container(name, kind, container)["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in context


def test_one_container_is_privileged_and_none_has_the_hosts_network() -> None:
    """A NetworkPolicy holds for each of these pods."""
    text = "".join(path.read_text("utf-8") for path in (COMPONENT / "manifests").glob("*.yaml"))
    assert text.count("privileged: true") == 1
    assert "hostNetwork" not in text
    assert text.count("hostPID: true") == 1


def test_every_image_is_named_with_its_version_once() -> None:
    """Manifests name images, the kustomization their versions: no image without one."""
    kustomization = yaml.safe_load((COMPONENT / "kustomization.yaml").read_text("utf-8"))
    versioned = {image["name"] for image in kustomization["images"]}
    used = {
        container["image"]
        for name, kind in (
            ("server.yaml", "StatefulSet"),
            ("agent.yaml", "DaemonSet"),
            ("csi-driver.yaml", "DaemonSet"),
        )
        for container in _pod(name, kind)["containers"]
    }
    assert used == versioned
    assert all(image.get("newTag") or image.get("digest") for image in kustomization["images"])


def test_kinds_accept_what_is_rendered(mesh: Mesh) -> None:
    """Each field of an identity is one that the CustomResourceDefinition knows."""
    path: Path = COMPONENT / "crds/clusterspiffeids.yaml"
    definition = yaml.safe_load(path.read_text("utf-8"))
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    known = set(schema["properties"]["spec"]["properties"])
    for identity in identities(mesh):
        assert set(identity["spec"]) <= known
        assert set(schema["properties"]["spec"]["required"]) <= set(identity["spec"])
