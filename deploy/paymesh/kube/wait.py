"""Waits until controllers are as they were told to be, or says what keeps them from it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from paymesh.kube import diagnosis, stuck
from paymesh.kube.client import Cluster
from paymesh.kube.errors import Stuck
from paymesh.kube.objects import Key, Object, key
from paymesh.kube.progress import Progress
from paymesh.kube.stuck import Trouble

_POLL_SECONDS = 0.5
# A Secret that comes a moment later, a bundle server that starts meanwhile: these pass.
_GRACE_SECONDS = 20.0
_RETRIED = "paymesh.internal/retried-at"


class Deadline:
    """One for a whole deployment: every wait of it draws on the same time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        return time.monotonic() >= self._end


def rollouts(cluster: Cluster, keys: Sequence[Key], progress: Progress, deadline: Deadline) -> None:
    """Until every Deployment, StatefulSet, DaemonSet and Job of `keys` is done.

    Raises:
        Stuck: one has failed for good, or the time is over; names the pod, the container,
            the last event and the last line of its log.
    """
    seen: dict[tuple[str, str | None, str], float] = {}
    left = list(keys)
    for wanted in keys:
        _retry_refused(cluster, wanted)
    while True:
        found = [(wanted, cluster.get(wanted)) for wanted in left]
        states = {wanted: missing(value) for wanted, value in found}
        left = [wanted for wanted in left if states[wanted]]
        if not left:
            return
        controllers = [value for wanted, value in found if wanted in left]
        said = [f"{wanted.name}: {states[wanted]}" for wanted in left]
        passing = _raise_for_lasting(cluster, controllers, seen)
        said += [f"{trouble.subject}: {diagnosis.line(trouble.explanation)}" for trouble in passing]
        progress.waiting(", ".join(said))
        for controller in controllers:
            _replace_broken(cluster, controller)
        if deadline.is_over:
            raise Stuck(diagnosis.over(cluster, controllers, states, deadline.seconds))
        time.sleep(_POLL_SECONDS)


def established(
    cluster: Cluster, definitions: Sequence[Key], progress: Progress, deadline: Deadline
) -> None:
    """Until the cluster serves these custom resources.

    Raises:
        Stuck: it does not in time.
    """
    for wanted in definitions:
        while not _has(cluster.get(wanted), "Established"):
            progress.waiting(f"{wanted.name} to be served")
            if deadline.is_over:
                raise Stuck(f"{wanted.name} is not served after {deadline.seconds:g} s")
            time.sleep(_POLL_SECONDS)


def gone(cluster: Cluster, keys: Sequence[Key], progress: Progress, deadline: Deadline) -> None:
    """Until none of these objects is there any more.

    Raises:
        Stuck: one is still there; names its finalizers.
    """
    left = list(keys)
    while left:
        found = [(wanted, cluster.find(wanted)) for wanted in left]
        left = [wanted for wanted, value in found if value is not None]
        if not left:
            return
        progress.waiting(f"{len(left)} to go: {', '.join(str(wanted) for wanted in left[:4])}")
        if deadline.is_over:
            value = next(value for _, value in found if value is not None)
            finalizers = value["metadata"].get("finalizers") or value.get("spec", {}).get(
                "finalizers"
            )
            raise Stuck(
                f"{left[0]} is still there after {deadline.seconds:g} s;"
                f" its finalizers are {', '.join(finalizers or ['none'])}."
                f"{_conditions(value)} Running the command again is safe"
            )
        time.sleep(_POLL_SECONDS)


def missing(value: Object) -> str | None:
    """What a controller still lacks, in a few words; None when it is done."""
    spec, status, kind = value.get("spec") or {}, value.get("status") or {}, value["kind"]
    if kind == "Job":
        return None if _has(value, "Complete") else "running"
    if status.get("observedGeneration", 0) < value["metadata"].get("generation", 0):
        return "not seen yet"
    wanted = spec.get("replicas", 1)
    match kind:
        case "Deployment":
            names, present = ("updatedReplicas", "availableReplicas"), status.get("replicas", 0)
        case "StatefulSet":
            names, present = ("updatedReplicas", "readyReplicas"), status.get("replicas", 0)
        case "DaemonSet":
            wanted = present = status.get("desiredNumberScheduled", 0)
            names = ("updatedNumberScheduled", "numberAvailable")
        case _:
            return None
    if kind == "DaemonSet" and not wanted:
        return "no node to run on"
    return _count([status.get(name, 0) for name in names], wanted, present)


def _count(counts: list[int], wanted: int, present: int) -> str | None:
    if min(counts, default=wanted) >= wanted and present <= wanted:
        return None
    if min(counts) >= wanted:
        return f"{present - wanted} old to end"
    return f"{min(counts)} of {wanted} ready"


def _has(value: Object, condition: str) -> bool:
    return any(
        found["type"] == condition and found["status"] == "True"
        for found in (value.get("status") or {}).get("conditions") or ()
    )


def _raise_for_lasting(
    cluster: Cluster,
    controllers: list[Object],
    seen: dict[tuple[str, str | None, str], float],
) -> list[Trouble]:
    """Raises for what is wrong and has been for a while; forgets what has passed.

    Returns:
        What is waited for however long it takes: a node that has room.
    """
    now = time.monotonic()
    current, waited_for = set(), []
    for controller in controllers:
        if controller["kind"] == "Job" and _has(controller, "Failed"):
            raise Stuck(diagnosis.failed_job(cluster, controller))
        for trouble in diagnosis.troubles(cluster, controller):
            if trouble.may_pass:
                waited_for.append(trouble)
                continue
            current.add(trouble.identity)
            since = seen.setdefault(trouble.identity, now)
            if now - since >= _GRACE_SECONDS:
                raise Stuck(diagnosis.described(cluster, trouble))
    for identity in set(seen) - current:
        del seen[identity]
    return waited_for


def _retry_refused(cluster: Cluster, wanted: Key) -> None:
    """A ReplicaSet whose pods were refused tries again after up to a quarter of an hour; a
    change to it, here of an annotation, makes it try now.
    """
    if wanted.kind != "Deployment":
        return
    for replicas in cluster.items("apps/v1", "ReplicaSet", wanted.namespace):
        owners = replicas["metadata"].get("ownerReferences") or ()
        if any(owner["name"] == wanted.name for owner in owners) and _has(
            replicas, "ReplicaFailure"
        ):
            change = {"metadata": {"annotations": {_RETRIED: str(time.time_ns())}}}
            cluster.patch(key(replicas), change)


def _replace_broken(cluster: Cluster, controller: Object) -> None:
    """Deletes a StatefulSet's pod that is broken and of an older template: the controller
    waits for it to become ready before it would replace it (Kubernetes' documentation,
    "StatefulSets", section "Forced rollback").
    """
    if controller["kind"] != "StatefulSet":
        return
    for pod in diagnosis.pods_of(cluster, controller):
        if not diagnosis.is_current(cluster, controller, pod) and stuck.of_pod(pod):
            cluster.delete(key(pod))


def _conditions(value: Object) -> str:
    """What a namespace that does not go away says about itself."""
    said = [
        diagnosis.line(condition.get("message", ""))
        for condition in (value.get("status") or {}).get("conditions") or ()
        if condition["status"] == "True"
    ]
    return f" {' '.join(said)}." if said else ""
