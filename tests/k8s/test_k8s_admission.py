"""What the admission policy refuses, said by the API server itself (dry run), and why."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from k8s.world import Cluster, pod_manifest
from paymesh.mesh import load_mesh

_MESH = load_mesh(port_offset=0)
Pod = dict[str, Any]


@pytest.fixture
def pod(cluster: Cluster) -> Pod:
    """A pod of payments just as its Deployment makes it."""
    (deployment,) = [
        found
        for found in cluster.objects("deployments", "-n", _MESH.namespace)
        if found["metadata"]["name"] == "payments"
    ]
    template = copy.deepcopy(deployment["spec"]["template"])
    template["metadata"].update(name="payments-by-hand", namespace=_MESH.namespace)
    return {"apiVersion": "v1", "kind": "Pod", **template}


def _said(cluster: Cluster, manifest: Pod) -> str:
    return cluster.kubectl(
        "create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest), check=False
    )


def _no_sidecars(pod: Pod) -> None:
    pod["spec"]["initContainers"] = []


def _no_envoy(pod: Pod) -> None:
    _drop(pod, "envoy")


def _no_pdp(pod: Pod) -> None:
    _drop(pod, "pdp")


def _drop(pod: Pod, name: str) -> None:
    kept = [container for container in pod["spec"]["initContainers"] if container["name"] != name]
    pod["spec"]["initContainers"] = kept


def _sidecar_that_ends(pod: Pod) -> None:
    del pod["spec"]["initContainers"][0]["restartPolicy"]


def _another_image(pod: Pod) -> None:
    pod["spec"]["containers"][0]["image"] = "docker.io/library/busybox:1"


def _another_envoy(pod: Pod) -> None:
    for container in pod["spec"]["initContainers"]:
        if container["name"] == "envoy":
            container["image"] = "docker.io/somebody/envoy:v1.40.0"


def _another_command(pod: Pod) -> None:
    pod["spec"]["containers"][0]["command"] = ["python", "-c", "import signal; signal.pause()"]


def _one_more_container(pod: Pod) -> None:
    extra = copy.deepcopy(pod["spec"]["containers"][0])
    pod["spec"]["containers"].append({**extra, "name": "more"})


def _wrong_service_account(pod: Pod) -> None:
    pod["spec"]["serviceAccountName"] = "default"


def _anothers_service_account(pod: Pod) -> None:
    pod["spec"]["serviceAccountName"] = "ledger"


def _anothers_label(pod: Pod) -> None:
    pod["metadata"]["labels"]["app.kubernetes.io/name"] = "ledger"


def _anothers_secret(pod: Pod) -> None:
    pod["spec"]["volumes"].append({"name": "more", "secret": {"secretName": "ledger"}})


def _host_path(pod: Pod) -> None:
    pod["spec"]["volumes"].append({"name": "host", "hostPath": {"path": "/run/spire"}})


def _host_network(pod: Pod) -> None:
    pod["spec"]["hostNetwork"] = True


def _host_pid(pod: Pod) -> None:
    pod["spec"]["hostPID"] = True


def _container(pod: Pod, name: str) -> Any:
    spec = pod["spec"]
    return next(c for c in spec["initContainers"] + spec["containers"] if c["name"] == name)


def _variable(pod: Pod, container: str, name: str) -> Any:
    return next(v for v in _container(pod, container)["env"] if v["name"] == name)


def _another_decision_point(pod: Pod) -> None:
    _variable(pod, "app", "PAYMESH_PDP_URL")["value"] = "http://pdp.example:443"


def _a_variable_more(pod: Pod) -> None:
    _container(pod, "app")["env"].append({"name": "LD_PRELOAD", "value": "/run/paymesh/x.so"})


def _a_variable_less(pod: Pod) -> None:
    _container(pod, "app")["env"].pop()


def _a_variable_twice(pod: Pod) -> None:
    again = {"name": "PAYMESH_PDP_URL", "value": "http://pdp.example:443"}
    _container(pod, "app")["env"].append(again)


def _traces_elsewhere(pod: Pod) -> None:
    traces = {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://traces.example:4317"}
    _container(pod, "app")["env"].append(traces)


def _digest_said(pod: Pod) -> None:
    digest = _variable(pod, "pdp", "PAYMESH_PDP_TOKEN_SHA256")
    del digest["valueFrom"]
    digest["value"] = 64 * "a"


def _anothers_digest(pod: Pod) -> None:
    digest = _variable(pod, "pdp", "PAYMESH_PDP_TOKEN_SHA256")
    digest["valueFrom"]["secretKeyRef"]["name"] = "ledger"


def _another_key(pod: Pod) -> None:
    digest = _variable(pod, "pdp", "PAYMESH_PDP_TOKEN_SHA256")
    digest["valueFrom"]["secretKeyRef"]["key"] = "pdp-token"


def _no_digest(pod: Pod) -> None:
    digest = _variable(pod, "pdp", "PAYMESH_PDP_TOKEN_SHA256")
    digest["valueFrom"]["secretKeyRef"]["optional"] = True


def _value_from_the_pod(pod: Pod) -> None:
    found = _variable(pod, "app", "PAYMESH_PDP_URL")
    del found["value"]
    found["valueFrom"] = {"fieldRef": {"fieldPath": "metadata.annotations['url']"}}


def _another_hosts_probe(pod: Pod) -> None:
    _container(pod, "envoy")["readinessProbe"]["httpGet"]["host"] = "169.254.169.254"


def _another_hosts_port(pod: Pod) -> None:
    probe = {"tcpSocket": {"port": 80, "host": "169.254.169.254"}}
    _container(pod, "app")["livenessProbe"] = probe


def _message_over_a_file(pod: Pod) -> None:
    _container(pod, "pdp")["terminationMessagePath"] = "/etc/paymesh/trust/bundle-key.pem"


def _hook(pod: Pod) -> None:
    _container(pod, "app")["lifecycle"] = {"postStart": {"httpGet": {"port": 15021}}}


def _token(pod: Pod) -> None:
    pod["spec"]["automountServiceAccountToken"] = True


def _projected_token(pod: Pod) -> None:
    source = {"serviceAccountToken": {"path": "token", "audience": "spire-server"}}
    pod["spec"]["volumes"].append({"name": "token", "projected": {"sources": [source]}})


_CHANGES: list[tuple[Callable[[Pod], None], str]] = [
    (_no_sidecars, "sidecar"),
    (_no_envoy, "sidecar"),
    (_no_pdp, "sidecar"),
    (_sidecar_that_ends, "restartPolicy"),
    (_another_image, "image"),
    (_another_envoy, "image"),
    (_another_command, "command"),
    (_one_more_container, "container"),
    (_wrong_service_account, "service account"),
    (_anothers_service_account, "service account"),
    (_anothers_label, "service account"),
    (_anothers_secret, "Secret"),
    (_host_path, "hostPath"),
    (_host_network, "hostNetwork"),
    (_host_pid, "hostPID"),
    (_token, "token"),
    (_projected_token, "token"),
    (_another_decision_point, "environment variables"),
    (_a_variable_more, "environment variables"),
    (_a_variable_less, "environment variables"),
    (_a_variable_twice, "environment variables"),
    (_traces_elsewhere, "environment variables"),
    (_digest_said, "environment variables"),
    (_anothers_digest, "environment variables"),
    (_another_key, "environment variables"),
    (_value_from_the_pod, "environment variables"),
    (_no_digest, "Secret"),
    (_another_hosts_probe, "host"),
    (_another_hosts_port, "host"),
    (_message_over_a_file, "terminationMessagePath"),
    (_hook, "hooks"),
]


def test_a_pod_as_the_deployment_makes_it_is_admitted(cluster: Cluster, pod: Pod) -> None:
    """What the refusals below change is admitted unchanged, so that they refuse the change."""
    assert "created" in _said(cluster, pod)


@pytest.mark.parametrize(
    ("change", "named"), [pytest.param(*case, id=case[0].__name__.strip("_")) for case in _CHANGES]
)
def test_a_changed_pod_is_refused_and_told_why(
    cluster: Cluster, pod: Pod, change: Callable[[Pod], None], named: str
) -> None:
    """Each single departure from the workload's own pod is refused with a reason that names it."""
    change(pod)
    said = _said(cluster, pod)
    assert "forbidden" in said.lower() or "denied" in said.lower(), said
    assert named.lower() in said.lower(), said


def test_a_pod_that_is_no_workload_is_refused(cluster: Cluster) -> None:
    """A bare pod in the workloads' namespace is refused, whatever its Pod Security is."""
    said = _said(cluster, pod_manifest("bare", _MESH.namespace))
    assert "paymesh" in said
    assert "service account" in said.lower()


def test_a_debug_container_is_refused(cluster: Cluster) -> None:
    """`kubectl debug` does not get into a workload's pod: it would share its uid and sockets."""
    name = cluster.pods("payments")[0]["metadata"]["name"]
    said = cluster.kubectl(
        *("debug", "-n", _MESH.namespace, name, "--image=docker.io/library/busybox:1"),
        *("--profile=restricted", "--", "true"),
        check=False,
    )
    assert "no debug container joins a workload" in said, said
    (found,) = [p for p in cluster.pods("payments") if p["metadata"]["name"] == name]
    assert not found["spec"].get("ephemeralContainers")
