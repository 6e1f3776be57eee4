"""A pod's configuration is this machine's, but for a list of changes that ends here."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from paymesh.mesh import load_mesh, repository_root
from paymesh.render import cluster, pdp, to_yaml

ROOT = repository_root()
MESH = load_mesh(ROOT, port_offset=0)
SIDECARS = [workload.name for workload in MESH.sidecars()]
LOCAL = ("app", "authz")
FILES = {
    "/etc/paymesh/tls/tls.crt": "tls.crt",
    "/etc/paymesh/tls/tls.key": "tls.key",
    "/etc/paymesh/trust/jwks.json": "jwks.json",
    "/etc/paymesh/trust/providers-ca.pem": "external-ca.pem",
    "/etc/paymesh/descriptors/descriptors.binpb": "descriptors.binpb",
}


def _read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def _with_files(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_files(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_with_files(child) for child in value]
    return FILES.get(value, value) if isinstance(value, str) else value


def _socket(found: Any) -> Any:
    (locality,) = found["load_assignment"]["endpoints"]
    (host,) = locality["lb_endpoints"]
    return host["endpoint"]["address"]["socket_address"]


def _undone(config: Any) -> Any:
    """A pod's configuration without what a pod changes; order included."""
    undone = _with_files(config)
    resources = undone["static_resources"]
    if config["node"]["id"] == "gateway":
        _undo_certificate(resources["listeners"][0]["filter_chains"][0])
    assert resources["listeners"].pop()["name"] == "probe"
    for listener in resources["listeners"]:
        if (address := listener["address"].get("socket_address")) is not None:
            assert address["address"] == "0.0.0.0"  # noqa: S104 — a pod's
            address["address"] = "127.0.0.1"
    resources["clusters"] = [_undone_cluster(found) for found in resources["clusters"]]
    return undone


def _undo_certificate(chain: Any) -> None:
    """Puts the files back in the place of the secret that names them."""
    tls = chain["transport_socket"]["typed_config"]["common_tls_context"]
    (secret,) = tls.pop("tls_certificate_sds_secret_configs")
    source = {"path": "/etc/paymesh/envoy/tls.yaml"}
    assert secret.pop("sds_config") == {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "path_config_source": source,
    }
    (found,) = _with_files(_read("envoy/kubernetes/gateway-tls.yaml"))["resources"]
    assert secret == {"name": found["name"]}
    assert found["tls_certificate"].pop("watched_directory") == {"path": "/etc/paymesh/tls"}
    tls["tls_certificates"] = [found["tls_certificate"]]


def _undone_cluster(found: Any) -> Any:
    name = found["name"]
    if name in LOCAL:
        (check,) = found.pop("health_checks")
        assert check["grpc_health_check"] == {}
        return found
    if name not in (*MESH.workloads, *MESH.external):
        return found
    discovery = found.pop("cluster_type")
    assert discovery["name"] == "envoy.cluster.dns"
    socket = _socket(found)
    assert socket["address"] == f"{name}.paymesh.svc.cluster.local."
    socket["address"] = "127.0.0.1"
    if name in MESH.external:
        assert socket["port_value"] == 443
        socket["port_value"] = MESH.external[name].port
    else:
        assert found.pop("ignore_health_on_host_removal") is True
    # As the committed file has it: the type comes after the name.
    (first, *rest) = found.items()
    return dict([first, ("type", "STATIC"), *rest])


@pytest.mark.parametrize("workload", SIDECARS)
def test_pod_differs_by_these_changes_only(workload: str) -> None:
    """With the changes undone it is the committed file again, byte for byte."""
    pod = _read(f"envoy/kubernetes/{workload}.yaml")
    assert to_yaml(_undone(pod)) == (ROOT / "envoy" / f"{workload}.yaml").read_bytes()


def test_gateways_pod_has_both_files() -> None:
    """What the configuration names beside itself is in the ConfigMap, and is mounted with it."""
    maps = {
        found["name"]: found for found in _read("envoy/kustomization.yaml")["configMapGenerator"]
    }
    assert maps["envoy-gateway"]["files"] == [
        "envoy.yaml=kubernetes/gateway.yaml",
        "tls.yaml=kubernetes/gateway-tls.yaml",
    ]
    text = (ROOT / "deploy/k8s/base/workloads/gateway.yaml").read_text(encoding="utf-8")
    (pod,) = [found for found in yaml.safe_load_all(text) if found["kind"] == "Deployment"]
    volumes = {v["name"]: v for v in pod["spec"]["template"]["spec"]["volumes"]}
    assert [i["path"] for i in volumes["envoy"]["configMap"]["items"]] == ["envoy.yaml", "tls.yaml"]


@pytest.mark.parametrize("workload", SIDECARS)
def test_argument_is_left_alone(workload: str) -> None:
    """The configuration that the pod's is made from is not changed on the way."""
    config = _read(f"envoy/{workload}.yaml")
    before = copy.deepcopy(config)
    pod = cluster.envoy(config, MESH)
    assert config == before
    assert pod == _read(f"envoy/kubernetes/{workload}.yaml")


def test_file_that_no_pod_mounts_is_refused() -> None:
    """A new file name cannot be forgotten: rendering says where to add it."""
    config = _read("envoy/ledger.yaml")
    config["static_resources"]["clusters"][0]["filename"] = "new.pem"
    with pytest.raises(ValueError, match=r"new\.pem: say in paymesh\.render\.cluster"):
        cluster.envoy(config, MESH)


@pytest.mark.parametrize("workload", [workload.name for workload in MESH.services()])
def test_decision_point_of_a_pod(workload: str) -> None:
    """It asks the bundle server over TLS of the platform's CA, and holds no key of its own."""
    config = _read(f"policies/pdp/kubernetes/{workload}.yaml")
    assert config == pdp.for_pod(MESH, MESH.workloads[workload])
    service = config["services"]["bundles"]
    assert service["url"].startswith("https://bundle-server.paymesh-platform.svc.cluster.local:")
    assert service["tls"] == {
        "ca_cert": "/etc/paymesh/trust/platform-ca.pem",
        "system_ca_required": False,
    }
    assert config["keys"] == {"paymesh-bundle": {"algorithm": "ES256"}}
    assert config["bundles"]["paymesh"]["signing"] == {"keyid": "paymesh-bundle"}
