"""A changed policy on its way into the cluster: in force within two seconds, or not at all."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.checkout import copied
from k8s.world import Cluster, Place, answer
from paymesh.mesh import load_mesh
from paymesh.policy import bundle

_MESH = load_mesh(port_offset=0)
_PLATFORM = _MESH.kubernetes.namespaces["platform"]
_SECONDS = 2.0
_RPC = "/paymesh.ledger.v1.LedgerService/GetBalance"
_GRANT = "statements-get-balance"


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A copy of the repository to edit."""
    with copied() as root:
        yield root


def _push(cluster: Cluster, root: Path | None = None) -> dict[str, Any]:
    environment = {**os.environ, **({"PAYMESH_ROOT": str(root)} if root else {})}
    done = cluster.paymesh("policy", "push", "-o", "json", environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    pushed: dict[str, Any] = json.loads(done.stdout)
    return pushed


def _bundle(cluster: Cluster) -> bytes:
    """The bundle that the cluster publishes."""
    shown = cluster.kubectl("get", "configmap", "-n", _PLATFORM, "paymesh-policy", "-o", "json")
    return base64.b64decode(json.loads(shown)["binaryData"][bundle.FILE_NAME])


def _publish(cluster: Cluster, data: bytes) -> None:
    """What somebody does who may write this one object and holds no key."""
    patch = {"binaryData": {bundle.FILE_NAME: base64.b64encode(data).decode()}}
    cluster.kubectl(
        *("patch", "configmap", "-n", _PLATFORM, "paymesh-policy", "--type=merge"),
        *("-p", json.dumps(patch)),
    )


@contextlib.contextmanager
def _put_right_afterwards(cluster: Cluster) -> Iterator[None]:
    try:
        yield
    finally:
        _push(cluster)


def _decided(cluster: Cluster, place: Place) -> set[str]:
    """What each of the ledger's pods decides of the statements' GetBalance."""
    port = _MESH.workloads["ledger"].port
    asked = []
    for pod in cluster.pods("ledger"):
        request = cluster.straight("ledger", cluster.svid("statements"), _RPC)
        asked.append({**request, "target": f"{pod['status']['podIP']}:{port}"})
    assert asked
    return {answer(said).decided for said in cluster.inside(place, *asked)}


def _ledger_pods(cluster: Cluster) -> set[tuple[str, int]]:
    return {
        (pod["metadata"]["uid"], sum(s["restartCount"] for s in _statuses(pod)))
        for pod in cluster.pods("ledger")
    }


def _statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    status = pod["status"]
    return [*status["containerStatuses"], *status.get("initContainerStatuses", ())]


def test_a_withdrawn_grant_is_enforced_in_every_pod_within_two_seconds(
    cluster: Cluster, checkout: Path
) -> None:
    """A grant that is taken out is refused by every pod when `policy push` returns, in two
    seconds at most and without a restart; put back it is granted again.
    """
    grants = checkout / "policies" / "paymesh" / "grants" / "data.yaml"
    before = _ledger_pods(cluster)
    with _put_right_afterwards(cluster), cluster.standing_in_for("statements") as place:
        assert _decided(cluster, place) == {"ALLOWED"}
        text = grants.read_text("utf-8")
        line = f"  - id: {_GRANT}\n"
        assert line in text
        grants.write_text(
            text.replace(
                "caller: statements\n    rpc: " + _RPC, "caller: bank-link\n    rpc: " + _RPC
            )
        )
        pushed = _push(cluster, checkout)
        assert pushed["seconds"] <= _SECONDS
        assert _decided(cluster, place) == {"RPC_NOT_GRANTED"}
        grants.write_text(text)
        assert _push(cluster, checkout)["seconds"] <= _SECONDS
        assert _decided(cluster, place) == {"ALLOWED"}
    assert _ledger_pods(cluster) == before


def test_a_policy_that_does_not_compile_changes_nothing(cluster: Cluster, checkout: Path) -> None:
    """`policy push` of what does not compile says so, fails and publishes nothing."""
    before = _bundle(cluster)
    (checkout / "policies" / "paymesh" / "authz" / "broken.rego").write_text("package x\nallow {")
    environment = {**os.environ, "PAYMESH_ROOT": str(checkout)}
    done = cluster.paymesh("policy", "push", environment=environment)
    assert done.returncode == 1
    assert "broken.rego" in done.stderr + done.stdout
    assert _bundle(cluster) == before


def test_a_bundle_by_another_key_is_refused_and_check_says_so(cluster: Cluster) -> None:
    """Whoever can write the published object and has no key changes no decision."""
    with _put_right_afterwards(cluster), cluster.standing_in_for("statements") as place:
        good = _bundle(cluster)
        stranger = ec.generate_private_key(ec.SECP256R1())
        files = _files_of(good)
        revision = bundle.next_revision(files, None, (int(time.time()) + 60) * 1000)
        _publish(cluster, bundle.build(files, revision, stranger).data)
        said = cluster.until(lambda: _policy_problems(cluster), "check finds nothing wrong")
        assert any("sign" in problem for problem in said), said
        assert _decided(cluster, place) == {"ALLOWED"}


def test_an_older_bundle_is_refused_by_running_and_by_fresh_pods(cluster: Cluster) -> None:
    """A bundle that was good once is not taken again, not even by a pod that never saw a
    newer one: it stays unready instead, and `check` names why.
    """
    with _put_right_afterwards(cluster), cluster.standing_in_for("statements") as place:
        old = _bundle(cluster)
        newer = _resigned(cluster)
        assert newer != old
        _publish(cluster, old)
        said = cluster.until(lambda: _policy_problems(cluster), "check finds nothing wrong")
        assert any("older" in problem for problem in said), said
        assert _decided(cluster, place) == {"ALLOWED"}
        victim = cluster.pods("bank-link")[0]["metadata"]["name"]
        cluster.kubectl("delete", "pod", "-n", _MESH.namespace, victim)
        fresh = cluster.until(lambda: _not_started(cluster), "no fresh pod came")
        assert "older" in cluster.until(
            lambda: _said_of_rollback(cluster, fresh), "the fresh pod's policy engine says nothing"
        )
    cluster.kubectl(
        *("rollout", "status", "deployment/bank-link", "-n", _MESH.namespace, "--timeout=120s")
    )
    assert _policy_problems(cluster) == []


def _not_started(cluster: Cluster) -> str | None:
    selector = "app.kubernetes.io/name=bank-link"
    for pod in cluster.objects("pods", "-n", _MESH.namespace, "-l", selector):
        states = {s["name"]: s for s in pod["status"].get("initContainerStatuses", ())}
        running = states.get("pdp", {}).get("state", {}).get("running")
        if running and not states["pdp"].get("started"):
            return str(pod["metadata"]["name"])
    return None


def _said_of_rollback(cluster: Cluster, pod: str | None) -> str:
    assert pod
    log = cluster.kubectl("logs", "-n", _MESH.namespace, pod, "-c", "pdp", check=False)
    return "\n".join(line for line in log.splitlines() if "older" in line)


def _resigned(cluster: Cluster) -> bytes:
    """Pushes a newer revision: the policies with one more line of comment."""
    with copied() as root:
        path = root / "policies" / "paymesh" / "authz" / "conditions.rego"
        path.write_text(path.read_text("utf-8") + "\n# newer\n", "utf-8")
        _push(cluster, root)
    return _bundle(cluster)


def _files_of(data: bytes) -> dict[str, bytes]:
    """A bundle's files without its manifest and signature."""
    unpacked = bundle._unpack(data)
    return {name: content for name, content in unpacked.items() if not name.startswith(".")}


def _policy_problems(cluster: Cluster) -> list[str]:
    return [problem for problem in cluster.problems() if problem.startswith("policy:")]
