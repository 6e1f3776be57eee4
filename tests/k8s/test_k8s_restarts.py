"""Rolling restarts under calls: of every workload, of SPIRE's server and agent, of the platform."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s.world import Cluster, Place
from paymesh.demo.session import TENANT
from paymesh.mesh import load_mesh

_MESH = load_mesh(port_offset=0)
_LOAD = Path(__file__).with_name("load.py").read_text("utf-8")
_PLACE = "00000000-0000-4000-8000-000000000000"
_SPIRE = _MESH.kubernetes.namespaces
_FEWEST_CALLS = 100
_TOKEN_SECONDS = 3600


@pytest.fixture(scope="module")
def caller(cluster: Cluster, outside: str) -> Iterator[Place]:
    """A pod of an end user's, in the cluster so that it outlives every restart."""
    with cluster.pod("caller", outside) as place:
        yield place


@pytest.fixture(scope="module")
def plan(cluster: Cluster) -> dict[str, Any]:
    """One call of each kind: reads of every service, and a payment, which is posted too."""
    gateway = cluster.mesh.cluster_name("gateway")
    account = cluster.merchant_account("EUR")
    payment = {
        "idempotency_key": _PLACE,
        "amount": {"currency_code": "EUR", "minor_units": "5"},
        "payment_method_token": "tok_visa",
        "merchant_account_id": account,
        "description": "a rolling restart",
    }
    calls = [
        ("alice", "payments/CreatePayment", payment),
        ("alice", "payments/ListPayments", {}),
        ("alice", "bank-link/ListLinks", {}),
        ("audrey", "ledger/ListBalances", {"legal_entity": TENANT}),
    ]
    described = []
    for user, rpc, body in calls:
        method = cluster.catalogue.method(rpc)
        described.append(
            {
                "rpc": f"/{method.containing_service.full_name}/{method.name}",
                "message": base64.b64encode(cluster.message(rpc, body)).decode(),
                "token": cluster.token(user, exp=int(time.time()) + _TOKEN_SECONDS)[0][
                    1
                ].removeprefix("Bearer "),
            }
        )
    return {
        "target": f"{gateway}:443",
        "name": f"gateway.{cluster.mesh.trust_domain}",
        "ca": (cluster.paths.home / "edge" / "ca.pem").read_text("utf-8"),
        "calls": described,
        "workers": 4,
    }


@contextlib.contextmanager
def _calls_never_fail(place: Place, plan: dict[str, Any]) -> Iterator[None]:
    """Calls go on for as long as the block runs, and not one of them fails."""
    with subprocess.Popen(
        [
            *("kubectl", "exec", "-i", "-n", place.namespace, place.pod, "-c", place.container),
            *("--", "python", "-c", _LOAD),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"started": True}
        try:
            yield
        finally:
            process.stdin.write("enough\n")
            process.stdin.flush()
            outcome = json.loads(process.stdout.readline())
    assert outcome["failed"] == [], f"{outcome['count']} of {outcome['made']} failed"
    assert outcome["made"] > _FEWEST_CALLS


@pytest.mark.timeout(400)
@pytest.mark.parametrize("workload", [w.name for w in _MESH.sidecars()])
def test_a_rolling_restart_of_a_workload_fails_no_call(
    cluster: Cluster, caller: Place, plan: dict[str, Any], workload: str
) -> None:
    """While every pod of a workload is replaced, no call of an end user fails."""
    before = {pod["metadata"]["name"] for pod in cluster.pods(workload)}
    with _calls_never_fail(caller, plan):
        cluster.roll(f"deployment/{workload}", _MESH.namespace)
    assert not before & {pod["metadata"]["name"] for pod in cluster.pods(workload)}


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("name", "namespace"),
    [
        ("statefulset/spire-server", _SPIRE["spire_server"]),
        ("daemonset/spire-agent", _SPIRE["spire_system"]),
        ("deployment/bundle-server", _SPIRE["platform"]),
    ],
)
def test_a_restart_of_the_platform_fails_no_call(
    cluster: Cluster, caller: Place, plan: dict[str, Any], name: str, namespace: str
) -> None:
    """While SPIRE's server, its agents or the bundle server are replaced, no call fails."""
    with _calls_never_fail(caller, plan):
        cluster.roll(name, namespace)


def test_a_pod_that_starts_while_spire_was_replaced_gets_its_identity(cluster: Cluster) -> None:
    """SPIRE's server and agent come back with the same authority: a new pod joins the mesh."""
    for name, namespace in (
        ("statefulset/spire-server", _SPIRE["spire_server"]),
        ("daemonset/spire-agent", _SPIRE["spire_system"]),
    ):
        cluster.roll(name, namespace)
    (old, *_) = cluster.pods("bank-link")
    cluster.kubectl("delete", "pod", "-n", _MESH.namespace, old["metadata"]["name"], "--wait=false")
    cluster.kubectl(
        *("rollout", "status", "deployment/bank-link", "-n", _MESH.namespace, "--timeout=120s")
    )
