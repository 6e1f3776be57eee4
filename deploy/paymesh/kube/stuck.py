"""Why a pod does not come up, from what its status and its events say. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from paymesh.kube.objects import Object

# What a container waits for that does not pass by itself, and how to mend it.
_WAITING = {
    "ImagePullBackOff": "the image cannot be pulled: load it with `make images`, or mend its name",
    "ErrImagePull": "the image cannot be pulled: load it with `make images`, or mend its name",
    "ErrImageNeverPull": "the image is not on the node: load it with `make images`",
    "InvalidImageName": "the image's name is not one",
    "CrashLoopBackOff": "it ends right after each start",
    "CreateContainerConfigError": "a Secret or ConfigMap lacks what the container refers to",
    "CreateContainerError": "the container cannot be made",
    "RunContainerError": "the container cannot be started",
}
_UNSCHEDULABLE = "Unschedulable"
_REFUSED = frozenset({"FailedCreate", "ReplicaSetCreateError"})


@dataclasses.dataclass(frozen=True)
class Trouble:
    """One pod, or controller without pods, that will hardly come up by waiting.

    Attributes:
        subject: as in "pod paymesh/ledger-6d9f-x1".
        container: None when it is not about one.
        reason: Kubernetes' own word for it.
        explanation: a sentence.
        previous: whether the container ran before, so that it is its last run's log that
            says why.
    """

    subject: str
    namespace: str
    name: str
    container: str | None
    reason: str
    explanation: str
    previous: bool = False

    @property
    def identity(self) -> tuple[str, str | None, str]:
        """The same trouble seen again compares equal by this."""
        return self.subject, self.container, self.reason

    @property
    def may_pass(self) -> bool:
        """Whether something else is likely to mend it: a node is added, a pod makes room."""
        return self.reason == _UNSCHEDULABLE


def of_pod(pod: Object) -> Trouble | None:
    """What is wrong with a pod, so that it does not come up by itself; None when it may."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    subject = f"pod {metadata['namespace']}/{metadata['name']}"
    place = metadata["namespace"], metadata["name"]
    for condition in status.get("conditions") or ():
        if (
            condition["type"] == "PodScheduled"
            and condition["status"] == "False"
            and condition.get("reason") == _UNSCHEDULABLE
        ):
            return Trouble(
                subject, *place, None, _UNSCHEDULABLE, condition.get("message", "no node fits")
            )
    for container in container_statuses(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in _WAITING:
            said = waiting.get("message") or _WAITING[reason]
            last = (container.get("lastState") or {}).get("terminated") or {}
            if reason == "CrashLoopBackOff" and last:
                said = f"{_WAITING[reason]}, last with exit code {last.get('exitCode')}" + (
                    f" ({last['reason']})" if last.get("reason") not in {None, "Error"} else ""
                )
            elif said != _WAITING[reason]:
                said = f"{_WAITING[reason]}: {said}"
            return Trouble(subject, *place, container["name"], reason, said, previous=bool(last))
    return None


def of_controller(controller: Object, events: Iterable[Object]) -> Trouble | None:
    """A controller whose pods are refused, by an admission policy or a quota say.

    Args:
        controller: Deployment, ReplicaSet, StatefulSet, DaemonSet or Job.
        events: about it; the last one counts.
    """
    metadata = controller["metadata"]
    subject = f"{controller['kind']} {metadata['namespace']}/{metadata['name']}"
    place = metadata["namespace"], metadata["name"]
    for condition in (controller.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = condition.get("message", "its pods are refused")
            return Trouble(subject, *place, None, "FailedCreate", message)
    latest = last_event(events)
    if latest is not None and latest.get("reason") in _REFUSED and latest.get("type") == "Warning":
        return Trouble(subject, *place, None, str(latest["reason"]), str(latest.get("message")))
    return None


def unready(pod: Object) -> Trouble | None:
    """The first container that holds a pod up, when time is over; None for a ready pod."""
    metadata = pod["metadata"]
    subject = f"pod {metadata['namespace']}/{metadata['name']}"
    place = metadata["namespace"], metadata["name"]
    conditions = {c["type"]: c for c in (pod.get("status") or {}).get("conditions") or ()}
    if conditions.get("Ready", {}).get("status") == "True" or is_finished(pod):
        return None
    sidecars = sidecar_names(pod)
    for container in container_statuses(pod):
        state = container.get("state") or {}
        if "waiting" in state:
            waiting = state["waiting"]
            reason = waiting.get("reason", "Waiting")
            return Trouble(
                subject, *place, container["name"], reason, waiting.get("message") or "it waits"
            )
        terminated = state.get("terminated")
        if terminated and terminated.get("exitCode") != 0:
            said = f"it ended with exit code {terminated.get('exitCode')}"
            return Trouble(subject, *place, container["name"], "Terminated", said)
        is_main = container["name"] not in sidecars
        if "running" in state and container.get("started") is False:
            said = "its startup probe has not succeeded yet"
            return Trouble(subject, *place, container["name"], "NotStarted", said)
        if "running" in state and not container.get("ready") and (is_main or sidecars):
            said = "its readiness probe does not succeed"
            return Trouble(subject, *place, container["name"], "NotReady", said)
    reason = conditions.get("Ready", {}).get("reason", "NotReady")
    return Trouble(subject, *place, None, reason, "it is not ready")


def container_statuses(pod: Object) -> Iterator[Mapping[str, Any]]:
    """Of every container, sidecars and other init containers first."""
    status = pod.get("status") or {}
    for name in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(name) or ()


def sidecar_names(pod: Object) -> frozenset[str]:
    """The init containers that go on running."""
    return frozenset(
        container["name"]
        for container in pod["spec"].get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    )


def is_ready(pod: Object) -> bool:
    """Whether the pod takes traffic and is to stay."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return "deletionTimestamp" not in pod["metadata"] and any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions
    )


def is_finished(pod: Object) -> bool:
    """Whether the pod has done what it was there for."""
    return (pod.get("status") or {}).get("phase") == "Succeeded"


def last_event(events: Iterable[Object]) -> Object | None:
    """The latest of some events (core/v1)."""
    return max(events, key=_moment, default=None)


def _moment(event: Object) -> str:
    """RFC 3339 in UTC, so that text compares as time."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )
