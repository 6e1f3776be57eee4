"""The demo's payments in the cluster, and `check` on what it leaves."""

from __future__ import annotations

import json

import pytest

from k8s.world import Cluster, answer
from paymesh.mesh import load_mesh, repository_root

_MESH = load_mesh(port_offset=0)


@pytest.mark.timeout(200)
def test_the_payment_file_goes_through(cluster: Cluster) -> None:
    """Every payment of the demo's file comes out as it says, and the books balance."""
    done = cluster.paymesh("demo", "--kube", "-o", "json")
    lines = json.loads(done.stdout)
    wrong = [line for line in lines if not line["expected"]]
    assert (wrong, done.returncode) == ([], 0)
    assert {line["step"] for line in lines} >= {"accounts", "payments", "refunds", "balances"}


@pytest.mark.timeout(200)
def test_check_finds_nothing_wrong(cluster: Cluster) -> None:
    """A mesh that nobody tampered with passes every section of `check --kube`."""
    found = cluster.check()
    assert [f for f in found["findings"] if f["level"] == "problem"] == []
    assert {f["section"] for f in found["findings"]} >= {
        "pods", "identities", "spire", "network", "admission", "images", "policy", "end-to-end",
    }  # fmt: skip


@pytest.mark.timeout(200)
def test_statements_are_written_by_the_job(cluster: Cluster) -> None:
    """The statements' job runs to its end with its own SVID and no sidecar."""
    namespace = _MESH.namespace
    cluster.kubectl("delete", "job", "-n", namespace, "statements-now", "--ignore-not-found")
    cluster.kubectl("create", "job", "-n", namespace, "--from=cronjob/statements", "statements-now")
    try:
        cluster.kubectl(
            *("wait", "-n", namespace, "job/statements-now", "--for=condition=Complete"),
            "--timeout=120s",
        )
        assert "acme" in cluster.kubectl("logs", "-n", namespace, "job/statements-now")
    finally:
        cluster.kubectl("delete", "job", "-n", namespace, "statements-now")


@pytest.mark.timeout(200)
def test_check_names_an_edge_that_nobody_granted(cluster: Cluster) -> None:
    """A NetworkPolicy that was added by hand is a finding, and gone it is none."""
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "by-hand", "namespace": _MESH.namespace},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "ledger"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [
                        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "bank-link"}}}
                    ],
                    "ports": [{"port": _MESH.workloads["ledger"].port, "protocol": "TCP"}],
                }
            ],
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    try:
        said = [problem for problem in cluster.problems() if problem.startswith("network:")]
        assert any("by-hand" in problem for problem in said), said
    finally:
        cluster.kubectl("delete", "networkpolicy", "-n", _MESH.namespace, "by-hand")
    assert [problem for problem in cluster.problems() if problem.startswith("network:")] == []


@pytest.mark.timeout(300)
def test_deploy_again_changes_nothing(cluster: Cluster) -> None:
    """A second `deploy` of the same checkout leaves every pod as it is."""
    namespaces = [_MESH.namespace, *_MESH.kubernetes.namespaces.values()]

    def uids() -> set[str]:
        return {
            pod["metadata"]["uid"]
            for namespace in namespaces
            for pod in cluster.objects("pods", "-n", namespace)
            if pod["metadata"].get("ownerReferences", [{}])[0].get("kind") != "Job"
        }

    before = uids()
    done = cluster.paymesh("deploy", "--overlay", "kind")
    assert done.returncode == 0, done.stdout + done.stderr
    assert uids() == before


def test_a_refusal_is_in_the_log_of_the_pod_that_decided(cluster: Cluster) -> None:
    """A decision's id leads to its whole record in `kubectl logs`, once, without the token."""
    (header,) = cluster.token("alice")
    refused = cluster.straight(
        "payments",
        cluster.svid("gateway"),
        "/paymesh.payments.v1.PaymentsService/RefundPayment",
        metadata=[header],
    )
    (said,) = cluster.inside(cluster.place("gateway"), refused)
    found = answer(said)
    assert found.decided == "USER_ROLE_MISSING"
    logs = [
        cluster.kubectl("logs", "-n", _MESH.namespace, pod["metadata"]["name"], "-c", "pdp")
        for pod in cluster.pods("payments")
    ]
    (record,) = [
        json.loads(line)
        for log in logs
        for line in log.splitlines()
        if f'"decision_id":"{found.decision_id}"' in line
    ]
    assert record["reason"] == "USER_ROLE_MISSING"
    assert record["allowed"] is False
    token = header[1].removeprefix("Bearer ")
    assert not any(token in log for log in logs)


@pytest.mark.timeout(200)
def test_the_api_server_takes_the_overlay_for_production(cluster: Cluster) -> None:
    """What is rendered for production is valid to the API server itself, and a pod of it is
    admitted: by a dry run, which changes nothing.
    """
    overlay = repository_root() / "deploy" / "k8s" / "overlays" / "production"
    said = cluster.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--force-conflicts"),
        *("--field-manager=dry-run", "-k", str(overlay)),
    )
    lines = said.splitlines()
    assert len(lines) > 50
    assert all("serverside-applied" in line for line in lines)
