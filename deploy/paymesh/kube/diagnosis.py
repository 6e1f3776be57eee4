"""What keeps something from coming up, as the cluster tells it: pods, events, logs."""

from __future__ import annotations

from typing import Any

from paymesh.kube import stuck
from paymesh.kube.client import Cluster
from paymesh.kube.errors import ClusterError
from paymesh.kube.objects import Key, Object, annotation
from paymesh.kube.stuck import Trouble

_LOG_LINES = 3
_LONGEST_LINE = 400
_REVISION = "deployment.kubernetes.io/revision"


def troubles(cluster: Cluster, controller: Object) -> list[Trouble]:
    """What is wrong with a controller's pods, and with the making of them; pods of an older
    template are on their way out.
    """
    found = [
        trouble
        for pod in pods_of(cluster, controller)
        if (trouble := stuck.of_pod(pod)) and is_current(cluster, controller, pod)
    ]
    own = stuck.of_controller(controller, _events(cluster, controller))
    return [own, *found] if own else found


def pods_of(cluster: Cluster, controller: Object) -> list[Object]:
    """The pods that a controller selects, those that are being deleted left out."""
    selector = (controller["spec"].get("selector") or {}).get("matchLabels") or {}
    labels = ",".join(f"{name}={value}" for name, value in sorted(selector.items()))
    namespace = controller["metadata"]["namespace"]
    pods = cluster.items("v1", "Pod", namespace, labels=labels) if labels else []
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def is_current(cluster: Cluster, controller: Object, pod: Object) -> bool:
    """Whether a pod was made from its controller's template as it stands now."""
    labels = pod["metadata"].get("labels") or {}
    match controller["kind"]:
        case "StatefulSet":
            update = (controller.get("status") or {}).get("updateRevision")
            return labels.get("controller-revision-hash") == update
        case "Deployment":
            owner = next(iter(pod["metadata"].get("ownerReferences") or ()), None)
            if owner is None:
                return False
            place = controller["metadata"]["namespace"], owner["name"]
            replicas = cluster.find(Key("apps/v1", "ReplicaSet", *place))
            return replicas is not None and annotation(replicas, _REVISION) == annotation(
                controller, _REVISION
            )
        case _:
            return True


def failed_job(cluster: Cluster, job: Object) -> str:
    """A Job that gave up, with the end of its last pod's log."""
    metadata = job["metadata"]
    subject = f"Job {metadata['namespace']}/{metadata['name']}"
    pods = sorted(pods_of(cluster, job), key=lambda pod: pod["metadata"]["creationTimestamp"])
    conditions = (job.get("status") or {}).get("conditions") or ()
    why = next((c.get("message", "") for c in conditions if c["type"] == "Failed"), "")
    text = f"{subject} failed: {why or 'no reason given'}"
    if pods:
        container = pods[-1]["spec"]["containers"][0]["name"]
        text += _log(cluster, metadata["namespace"], pods[-1]["metadata"]["name"], container, {})
    return text


def described(cluster: Cluster, trouble: Trouble) -> str:
    """The whole of it for the user, with the last event and the end of the log."""
    where = f", container {trouble.container}" if trouble.container else ""
    text = f"{trouble.subject}{where}: {trouble.reason}: {line(trouble.explanation)}"
    about = f"involvedObject.name={trouble.name},type=Warning"
    event = stuck.last_event(_events_of(cluster, trouble.namespace, about))
    if event is not None and line(event.get("message", "")) not in text:
        text += f"\n  last event: {event.get('reason')}: {line(event.get('message', ''))}"
    if trouble.container:
        text += _log(
            cluster,
            trouble.namespace,
            trouble.name,
            trouble.container,
            {"previous": trouble.previous},
        )
    return text


def over(
    cluster: Cluster, controllers: list[Object], states: dict[Key, str | None], seconds: float
) -> str:
    """What is not there when the time is over, and what holds up the first of it."""
    waiting = ", ".join(f"{wanted} ({state})" for wanted, state in states.items() if state)
    text = f"after {seconds:g} s these are not there yet: {waiting}"
    for controller in controllers:
        for trouble in troubles(cluster, controller):
            return f"{text}\n{described(cluster, trouble)}"
        for pod in pods_of(cluster, controller):
            trouble_now = stuck.unready(pod)
            if trouble_now is not None:
                return f"{text}\n{described(cluster, trouble_now)}"
    return text


def _log(
    cluster: Cluster, namespace: str, pod: str, container: str, options: dict[str, Any]
) -> str:
    """The end of a log, indented; nothing when there is none."""
    for previous in (bool(options.get("previous")), False):
        try:
            text = cluster.log(namespace, pod, container, previous=previous, lines=_LOG_LINES)
        except ClusterError:
            continue
        lines = [line(said) for said in text.splitlines() if said.strip()]
        if lines:
            return "\n  last of its log:" + "".join(f"\n    {said}" for said in lines)
    return ""


def line(text: str) -> str:
    """A text on one line, its end left out when it is long."""
    joined = " ".join(str(text).split())
    return joined if len(joined) <= _LONGEST_LINE else joined[: _LONGEST_LINE - 1] + "…"


def _events(cluster: Cluster, subject: Object) -> list[Object]:
    metadata = subject["metadata"]
    return _events_of(cluster, metadata["namespace"], f"involvedObject.uid={metadata.get('uid')}")


def _events_of(cluster: Cluster, namespace: str, fields: str) -> list[Object]:
    try:
        return cluster.items("v1", "Event", namespace, fields=fields)
    except ClusterError:
        # Events are help, not a condition.
        return []
