"""Why a pod does not come up, from status documents as clusters send them."""

from __future__ import annotations

from typing import Any

import pytest
from kube_fakes import made

from paymesh.kube import stuck
from paymesh.kube.objects import Object


def _pod(
    *statuses: dict[str, Any],
    conditions: tuple[dict[str, str], ...] = (),
    phase: str = "Pending",
    sidecars: tuple[dict[str, Any], ...] = (),
) -> Object:
    spec = {
        "initContainers": [{"name": s["name"], "restartPolicy": "Always"} for s in sidecars],
        "containers": [{"name": status["name"]} for status in statuses],
    }
    status = {
        "phase": phase,
        "conditions": list(conditions),
        "initContainerStatuses": list(sidecars),
        "containerStatuses": list(statuses),
    }
    return made("Pod", "ledger-1", spec=spec, status=status)


def _waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return {"name": "app", "state": state, **more}


@pytest.mark.parametrize(
    "reason",
    [
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "RunContainerError",
    ],
)
def test_what_does_not_pass_by_itself_is_trouble(reason: str) -> None:
    """The pod, the container and Kubernetes' own word are named."""
    found = stuck.of_pod(_pod(_waiting(reason)))
    assert found is not None
    assert (found.subject, found.container, found.reason) == ("pod paymesh/ledger-1", "app", reason)
    assert found.explanation


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_what_passes_is_none(reason: str) -> None:
    """A pod that is being made is not in trouble, but it is not ready either."""
    pod = _pod(_waiting(reason))
    assert stuck.of_pod(pod) is None
    held_up = stuck.unready(pod)
    assert held_up is not None
    assert held_up.reason == reason


def test_a_crash_says_how_it_ended_and_whose_log_counts() -> None:
    """The log before the restart is the one that says why."""
    last = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    found = stuck.of_pod(_pod(_waiting("CrashLoopBackOff", lastState=last)))
    assert found is not None
    assert "137 (OOMKilled)" in found.explanation
    assert found.previous


def test_the_clusters_own_words_come_along() -> None:
    """The message names what is missing."""
    text = 'secret "ledger" not found'
    found = stuck.of_pod(_pod(_waiting("CreateContainerConfigError", text)))
    assert found is not None
    assert text in found.explanation


def test_a_pod_that_no_node_takes() -> None:
    """The scheduler's words, and no container."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu.",
    }
    found = stuck.of_pod(_pod(conditions=(condition,)))
    assert found is not None
    assert (found.reason, found.container) == ("Unschedulable", None)
    assert "Insufficient cpu" in found.explanation


def test_the_first_sidecar_that_waits_is_the_one_that_is_named() -> None:
    """Not the app, which waits for it."""
    pdp = {"name": "pdp", "state": {"running": {}}, "started": False}
    found = stuck.unready(_pod(_waiting("PodInitializing"), sidecars=(pdp,), phase="Pending"))
    assert found is not None
    assert (found.container, found.reason) == ("pdp", "NotStarted")


def test_refused_pods_are_their_controllers_trouble() -> None:
    """An admission policy leaves no pod behind that could say so."""
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": "denied request: no sidecar",
    }
    found = stuck.of_controller(made("Deployment", "x", status={"conditions": [condition]}), [])
    assert found is not None
    assert "no sidecar" in found.explanation
    event = {"reason": "FailedCreate", "type": "Warning", "message": "quota", "metadata": {}}
    found = stuck.of_controller(made("StatefulSet", "x"), [event])
    assert found is not None
    assert found.explanation == "quota"


def test_a_refusal_that_is_over_is_none() -> None:
    """The last event counts: pods were made after it."""
    refused = {"reason": "FailedCreate", "type": "Warning", "message": "x"}
    events = [
        {**refused, "metadata": {}, "lastTimestamp": "2026-01-01T00:00:00Z"},
        {
            "reason": "SuccessfulCreate",
            "type": "Normal",
            "metadata": {},
            "lastTimestamp": "2026-01-01T00:00:05Z",
        },
    ]
    assert stuck.of_controller(made("StatefulSet", "x"), events) is None
    assert stuck.of_controller(made("StatefulSet", "x"), []) is None


def test_ready_and_finished_pods_hold_nothing_up() -> None:
    """Neither is named when time is over; one that is being deleted is not ready."""
    ready = _pod({"name": "app"}, conditions=({"type": "Ready", "status": "True"},))
    assert stuck.unready(ready) is None
    assert stuck.is_ready(ready)
    ready["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not stuck.is_ready(ready)
    assert stuck.unready(_pod({"name": "app"}, phase="Succeeded")) is None
