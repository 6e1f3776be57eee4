"""Pods: as many as are wanted, ready, with their sidecars started before the app."""

from __future__ import annotations

from collections.abc import Iterator

from paymesh.checks.kube.model import DEPLOY, Look, describe, logs, name_of
from paymesh.checks.model import Finding, Section
from paymesh.kube import diagnosis, stuck, wait
from paymesh.kube.objects import Object, key, pod_template

_MANY_RESTARTS = 3
_section = Section("pods")


def check(look: Look) -> Iterator[Finding]:
    """Yields a finding for each controller and for each pod of a workload."""
    for built in look.built_of("Deployment", "StatefulSet", "DaemonSet"):
        yield _rollout(look, built)
    for workload in look.mesh.sidecars():
        for pod in look.workload_pods(workload):
            yield from _sidecars(look, pod, workload.name)
            yield from _restarts(pod)


def _rollout(look: Look, built: Object) -> Finding:
    wanted = key(built)
    name = f"{wanted} is complete"
    found = look.cluster.find(wanted)
    if found is None:
        return _section.problem(name, "it is not there", DEPLOY)
    lacking = wait.missing(found)
    if lacking is None:
        return _section.ok(name)
    for trouble in diagnosis.troubles(look.cluster, found):
        return _section.problem(name, diagnosis.described(look.cluster, trouble), describe(wanted))
    for pod in diagnosis.pods_of(look.cluster, found):
        held_up = stuck.unready(pod)
        if held_up is not None:
            said = diagnosis.described(look.cluster, held_up)
            return _section.problem(name, f"{lacking}: {said}", describe(wanted))
    return _section.problem(name, lacking, describe(wanted))


def _sidecars(look: Look, pod: Object, workload: str) -> Iterator[Finding]:
    """A pod that was there before the admission policy is not refused by it."""
    name = f"{name_of(pod)} has its sidecars, started"
    deployment = next(
        value for value in look.built_of("Deployment") if value["metadata"]["name"] == workload
    )
    spec = pod_template(deployment)["spec"]
    wanted = [container["name"] for container in spec.get("initContainers") or ()]
    has = stuck.sidecar_names(pod)
    missing = [sidecar for sidecar in wanted if sidecar not in has]
    started = {c["name"] for c in stuck.container_statuses(pod) if c.get("started")}
    idle = [sidecar for sidecar in wanted if sidecar not in started]
    if missing:
        yield _section.problem(
            name, f"it has no {' and no '.join(missing)}", f"delete the pod, then {DEPLOY}"
        )
    else:
        said = f"{' and '.join(idle)} has not started" if idle else None
        mend = logs(pod["metadata"]["namespace"], name_of(pod), (idle or wanted)[0])
        yield _section.expect(name, said, mend)


def _restarts(pod: Object) -> Iterator[Finding]:
    for container in stuck.container_statuses(pod):
        count = container.get("restartCount", 0)
        if count >= _MANY_RESTARTS:
            mend = logs(pod["metadata"]["namespace"], name_of(pod), container["name"])
            yield _section.warning(
                f"{name_of(pod)} does not start over and over",
                f"{container['name']} has started {count + 1} times",
                f"{mend[:-1]} --previous`",
            )
