"""Waiting: until controllers are done, or until it is clear that they will not be."""

from __future__ import annotations

from typing import Any

import pytest
from kube_fakes import FakeCluster, Said, made

from paymesh.kube import wait
from paymesh.kube.errors import Stuck
from paymesh.kube.objects import Object, key
from paymesh.kube.wait import Deadline, missing

_SELECTOR = {"matchLabels": {"app.kubernetes.io/name": "ledger"}}


def _controller(kind: str, status: dict[str, Any], **spec: Any) -> Object:
    return made(
        kind,
        "ledger",
        metadata={"generation": 2, "uid": "u"},
        spec={"selector": _SELECTOR, **spec},
        status={"observedGeneration": 2, **status},
    )


_DONE = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
@pytest.mark.parametrize(
    ("status", "lacking"),
    [
        (_DONE, None),
        ({**_DONE, "availableReplicas": 1, "readyReplicas": 1}, "1 of 2 ready"),
        ({**_DONE, "updatedReplicas": 0}, "0 of 2 ready"),
        ({**_DONE, "replicas": 3}, "1 old to end"),
        ({**_DONE, "observedGeneration": 1}, "not seen yet"),
        ({}, "0 of 2 ready"),
    ],
)
def test_a_rollout_is_done_when_all_is_new_and_nothing_old_is_left(
    kind: str, status: dict[str, Any], lacking: str | None
) -> None:
    """Ready pods of an older template are not enough, nor is a status of before the change."""
    assert missing(_controller(kind, status, replicas=2)) == lacking


def test_a_daemon_set_needs_a_node() -> None:
    """None wanted is not done: there is nobody to run it."""
    done = {"desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1}
    assert missing(_controller("DaemonSet", done)) is None
    assert missing(_controller("DaemonSet", {**done, "numberAvailable": 0})) == "0 of 1 ready"
    assert missing(_controller("DaemonSet", {})) == "no node to run on"


def test_a_job_is_done_when_it_says_so() -> None:
    """Complete, and nothing else."""
    complete = {"conditions": [{"type": "Complete", "status": "True"}]}
    assert missing(_controller("Job", complete)) is None
    assert missing(_controller("Job", {"active": 1})) == "running"


def test_nothing_is_waited_for_when_all_is_done() -> None:
    """Also with no time at all."""
    value = _controller("Deployment", _DONE, replicas=2)
    said = Said()
    wait.rollouts(FakeCluster(value), [key(value)], said, Deadline(0))
    assert said.lines == []


def test_a_lasting_failure_ends_the_wait_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pod, container, event and log line are named long before the time is over."""
    monkeypatch.setattr(wait, "_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(wait, "_POLL_SECONDS", 0.0)
    cluster = FakeCluster(_controller("DaemonSet", {"desiredNumberScheduled": 1}), _crashing())
    with pytest.raises(Stuck) as raised:
        wait.rollouts(cluster, [_key("DaemonSet")], Said(), Deadline(600))
    text = str(raised.value)
    assert "pod paymesh/ledger-1, container app: CrashLoopBackOff" in text
    assert "app of paymesh/ledger-1 before says why" in text


def test_a_pod_without_a_node_is_waited_for_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node may be added meanwhile: it is said all the time, and raised with its event when
    the time is over, not before.
    """
    monkeypatch.setattr(wait, "_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(wait, "_POLL_SECONDS", 0.0)
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available",
    }
    pod = _crashing()
    pod["status"] = {"conditions": [condition]}
    event = made("Event", "e", reason="FailedScheduling", message="insufficient cpu")
    value = _controller("Deployment", {}, replicas=1)
    said = Said()
    owner = {"ownerReferences": [{"name": "ledger-1"}]}
    pod["metadata"] |= owner
    cluster = FakeCluster(value, pod, event, made("ReplicaSet", "ledger-1"))
    with pytest.raises(Stuck) as raised:
        wait.rollouts(cluster, [key(value)], said, Deadline(0.05))
    text = str(raised.value)
    assert text.startswith("after 0.05 s these are not there yet: Deployment paymesh/ledger")
    assert "pod paymesh/ledger-1: Unschedulable: 0/1 nodes are available" in text
    assert "last event: FailedScheduling: insufficient cpu" in text
    assert len(said.lines) > 1
    assert all("pod paymesh/ledger-1: 0/1 nodes are available" in line for line in said.lines)


def test_a_passing_failure_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still within its grace is reported only when the time is over."""
    monkeypatch.setattr(wait, "_POLL_SECONDS", 0.0)
    cluster = FakeCluster(_controller("DaemonSet", {"desiredNumberScheduled": 1}), _crashing())
    with pytest.raises(Stuck, match=r"^after 0 s these are not there yet: DaemonSet"):
        wait.rollouts(cluster, [_key("DaemonSet")], Said(), Deadline(0))


def test_a_failed_job_ends_the_wait_with_its_log() -> None:
    """A Job that gave up will not come back."""
    failed = {"conditions": [{"type": "Failed", "status": "True", "message": "backoff limit"}]}
    pod = _crashing()
    pod["spec"] = {"containers": [{"name": "migrate"}]}
    cluster = FakeCluster(_controller("Job", failed), pod)
    with pytest.raises(Stuck, match=r"(?s)Job paymesh/ledger failed: backoff.*migrate of paymesh"):
        wait.rollouts(cluster, [_key("Job")], Said(), Deadline(600))


def test_a_broken_pod_of_an_older_template_is_out_of_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A StatefulSet would wait for it for ever."""
    monkeypatch.setattr(wait, "_POLL_SECONDS", 0.0)
    value = _controller("StatefulSet", {"updateRevision": "new"}, replicas=1)
    pod = _crashing({"controller-revision-hash": "old"})
    cluster = FakeCluster(value, pod)
    with pytest.raises(Stuck):
        wait.rollouts(cluster, [key(value)], Said(), Deadline(0.01))
    assert ("delete", key(pod)) in cluster.calls


def test_refused_pods_are_tried_again_at_once() -> None:
    """A ReplicaSet by itself would wait for up to a quarter of an hour."""
    value = _controller("Deployment", _DONE, replicas=2)
    failure = {"conditions": [{"type": "ReplicaFailure", "status": "True"}]}
    owner = {"ownerReferences": [{"name": "ledger"}]}
    refused = made("ReplicaSet", "ledger-1", metadata=owner, status=failure)
    fine = made("ReplicaSet", "ledger-0", metadata=owner, status={})
    cluster = FakeCluster(value, refused, fine)
    wait.rollouts(cluster, [key(value)], Said(), Deadline(0))
    assert [place.name for call, place in cluster.calls if call == "patch"] == ["ledger-1"]


def test_what_does_not_go_is_named_with_its_finalizers() -> None:
    """The user can look at whose they are."""
    held = made("Namespace", "paymesh", "", spec={"finalizers": ["kubernetes"]})
    with pytest.raises(Stuck, match=r"finalizers are kubernetes"):
        wait.gone(FakeCluster(held), [key(held)], Said(), Deadline(0))
    wait.gone(FakeCluster(), [key(held)], Said(), Deadline(0))


def _crashing(labels: dict[str, str] | None = None) -> Object:
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {"terminated": {"exitCode": 1}}
    return made(
        "Pod",
        "ledger-1",
        metadata={
            "labels": {**_SELECTOR["matchLabels"], **(labels or {})},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        spec={"containers": [{"name": "app"}]},
        status={"containerStatuses": [{"name": "app", "state": state, "lastState": last}]},
    )


def _key(kind: str) -> Any:
    return key(_controller(kind, {}))
