"""Properties of the workloads' own objects: sidecars, accounts, names, rollouts."""

from __future__ import annotations

from typing import Any

from paymesh.checker.finding import Findings
from paymesh.checker.kubernetes.build import NAME, Build, Object, Pod
from paymesh.checker.walk import at, items

_CONTROLLERS = {"gateway": "Deployment", "service": "Deployment", "job": "CronJob"}
_SIDECARS = {"gateway": ["envoy"], "service": ["pdp", "envoy"], "job": []}
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_CSI = "csi.spiffe.io"
_RUN = "/run/paymesh/workload"
# After the drain there is the app's own end, and Envoy's.
_AFTER_DRAIN_SECONDS = 30


def check_workloads(found: Findings, build: Build) -> None:
    """All of it."""
    workloads = build.facts.mesh["workloads"]
    names = sorted(f"{build.workloads}/{name}" for name in workloads)
    pods = [pod for pod in build.pods if pod.namespace == build.workloads]
    found.equal(
        "one-controller-each",
        sorted(pod.name for pod in pods),
        names,
        "one controller for each workload of deploy/mesh.yaml, and no other in its namespace",
    )
    uids = [at(pod.spec, "securityContext", "runAsUser") for pod in pods]
    found.equal(
        "own-uid",
        sorted(uids, key=str),
        sorted(build.facts.mesh["local"]["uid_base"] + w["uid_offset"] for w in workloads.values()),
        "each workload has the uid that it has on one machine",
    )
    for name, raw in workloads.items():
        for pod in build.pods_of(name):
            _check_pod(found, build, name, pod)
            _check_account(found, build, name, pod)
            if raw["kind"] != "job":
                _check_rollout(found, build, name, pod)
                _check_service(found, build, name)
    for pod in build.pods:
        held = [v for v in items(pod.spec, "volumes") if at(v, "csi", "driver") == _CSI]
        found.expect(
            not held or pod.namespace == build.workloads,
            "identity-for-workloads-only",
            f"{pod.name} can reach SPIRE",
            "SPIRE's volume is for the workloads' namespace",
        )


def _check_pod(found: Findings, build: Build, name: str, pod: Pod) -> None:
    kind = build.facts.kind(name)
    found.equal("controller-kind", (name, at(pod.owner, "kind")), (name, _CONTROLLERS[kind]))
    sidecars, containers = items(pod.spec, "initContainers"), items(pod.spec, "containers")
    found.equal(
        "sidecars-in-order",
        (name, [at(c, "name") for c in sidecars], [at(c, "name") for c in containers]),
        (name, _SIDECARS[kind], ["app"]),
        "the PDP, then Envoy, then the app alone",
    )
    for sidecar in sidecars:
        found.expect(
            at(sidecar, "restartPolicy") == "Always" and at(sidecar, "startupProbe"),
            "sidecars-native",
            f"{name}: {at(sidecar, 'name')} ends before the app, or is not waited for",
            "set restartPolicy Always and a startupProbe",
        )
    for container in containers:
        found.expect(
            not items(container, "ports"),
            "app-without-port",
            f"{name}: the app has a port of its own",
            "the app listens on a Unix socket that Envoy alone opens",
        )
    _check_probes(found, build, name, pod)
    _check_identity(found, name, kind, pod)
    _check_secrets(found, name, kind, pod)
    if kind != "job":
        places = {at(c, "workingDir") for c in pod.containers}
        run = next((v for v in items(pod.spec, "volumes") if at(v, "name") == "run"), None)
        found.expect(
            places == {_RUN} and at(run, "emptyDir", "medium") == "Memory",
            "sockets-in-memory",
            f"{name}: its sockets are in {', '.join(sorted(str(p) for p in places))}",
            f"the working directory is {_RUN}, an emptyDir in memory",
        )


def _check_probes(found: Findings, build: Build, name: str, pod: Pod) -> None:
    """The kubelet asks Envoy and the PDP's diagnostics, which tell nothing else."""
    allowed = {
        "envoy": {(build.port("probe"), "/live"), (build.port("probe"), "/ready")},
        "pdp": {
            (build.port("pdp_diagnostics"), "/health"),
            (build.port("pdp_diagnostics"), "/health?bundles"),
        },
        "app": {(build.port("probe"), "/app")},
    }
    for container in pod.containers:
        asked = {
            (at(probe, "httpGet", "port"), at(probe, "httpGet", "path"))
            for probe in (at(container, kind) for kind in _PROBES)
            if probe
        }
        found.expect(
            asked <= allowed.get(str(at(container, "name")), set())
            and not at(container, "lifecycle"),
            "probes-open-nothing",
            f"{name}: {at(container, 'name')} is asked at {sorted(asked, key=str)}",
            "probe Envoy's health port and the PDP's diagnostics only; run nothing from outside",
        )


def _check_identity(found: Findings, name: str, kind: str, pod: Pod) -> None:
    volumes = items(pod.spec, "volumes")
    spire = {at(v, "name") for v in volumes if at(v, "csi", "driver") == _CSI}
    holders = {
        at(container, "name")
        for container in pod.containers
        for mount in items(container, "volumeMounts")
        if at(mount, "name") in spire
    }
    found.equal(
        "identity-held-by-envoy",
        (name, holders),
        (name, {"app"} if kind == "job" else {"envoy"}),
        "the app of a service never holds the key",
    )
    found.expect(
        all(at(v, "csi", "readOnly") is True for v in volumes if at(v, "csi")),
        "identity-volume-read-only",
        f"{name} may write beside SPIRE's socket",
        "set readOnly",
    )


def _check_secrets(found: Findings, name: str, kind: str, pod: Pod) -> None:
    used: set[Any] = {
        at(v, "secret", "secretName") for v in items(pod.spec, "volumes") if at(v, "secret")
    }
    used |= {
        at(variable, "valueFrom", "secretKeyRef", "name")
        for container in pod.containers
        for variable in items(container, "env")
        if at(variable, "valueFrom", "secretKeyRef")
    }
    own = {"service": {name}, "gateway": {f"{name}-tls"}, "job": set()}
    found.equal(
        "own-secrets-only", (name, used), (name, own[kind]), "a workload reads its own Secret"
    )
    found.expect(
        not any(items(c, "envFrom") for c in pod.containers),
        "own-secrets-only",
        f"{name} takes its environment from an object",
        "name each variable",
    )


def _check_account(found: Findings, build: Build, name: str, pod: Pod) -> None:
    account = build.one("ServiceAccount", name, build.workloads)
    found.expect(
        account is not None
        and at(account, "automountServiceAccountToken") is False
        and at(pod.spec, "serviceAccountName") == name,
        "own-service-account",
        f"{name} runs as {at(pod.spec, 'serviceAccountName')}",
        "each workload has a service account of its name, without a token",
    )


def _check_rollout(found: Findings, build: Build, name: str, pod: Pod) -> None:
    spec = at(pod.owner, "spec") or {}
    rolling = at(spec, "strategy", "rollingUpdate") or {}
    found.equal(
        "rollout-without-loss",
        (name, rolling.get("maxUnavailable"), rolling.get("maxSurge")),
        (name, 0, 1),
        "a new pod is ready before an old one goes",
    )
    replicas = spec.get("replicas") or 1
    budget = build.one("PodDisruptionBudget", name, build.workloads)
    found.expect(
        replicas >= 2  # noqa: PLR2004 — one may go, one stays
        and at(budget, "spec", "selector", "matchLabels") == {NAME: name}
        and 1 <= (at(budget, "spec", "minAvailable") or 0) < replicas,
        "disruption-budget",
        f"{name}: {replicas} replicas, budget {at(budget, 'spec')}",
        "two replicas or more, of which one may go at a time",
    )
    grace = at(pod.spec, "terminationGracePeriodSeconds") or 0
    drain = build.facts.mesh["kubernetes"]["drain_seconds"]
    told = {
        at(variable, "value")
        for variable in items(pod.spec, "containers", 0, "env")
        if at(variable, "name") == "PAYMESH_DRAIN_SECONDS"
    }
    found.expect(
        grace >= drain + _AFTER_DRAIN_SECONDS and told == {str(drain)},
        "drains-in-time",
        f"{name}: {grace} s to end, drains {', '.join(map(str, told)) or 'not at all'}",
        "the grace period is the drain and half a minute more",
    )
    spread = items(pod.spec, "topologySpreadConstraints")
    found.expect(
        any(
            at(s, "topologyKey") == "kubernetes.io/hostname"
            and at(s, "labelSelector", "matchLabels") == {NAME: name}
            for s in spread
        ),
        "spread-over-nodes",
        f"{name}: all its pods may be on one node",
        "add a topology spread by hostname",
    )


def _check_service(found: Findings, build: Build, name: str) -> None:
    service = build.one("Service", name, build.workloads)
    raw = build.facts.mesh["workloads"][name]
    spec: Object = at(service, "spec") or {}
    ports = [
        (at(p, "port"), _target(build, name, at(p, "targetPort"))) for p in items(spec, "ports")
    ]
    port = raw["port"]
    outer = build.port("provider") if raw["kind"] == "gateway" else port
    found.equal("service-ports", (name, ports), (name, [(outer, port)]))
    found.expect(
        at(spec, "selector") == {NAME: name}
        and not at(spec, "publishNotReadyAddresses")
        and (raw["kind"] == "gateway" or at(spec, "clusterIP") == "None"),
        "service-selects-its-pods",
        f"{name}: {spec}",
        "select by name; a service of the mesh is headless, so that callers balance",
    )
    kinds = (
        ("ClusterIP", "NodePort", "LoadBalancer") if raw["kind"] == "gateway" else ("ClusterIP",)
    )
    found.expect(
        at(spec, "type") in (None, *kinds) and not at(spec, "externalIPs"),
        "only-the-gateway-outside",
        f"{name} is reached from outside the cluster",
        "leave its Service of type ClusterIP",
    )


def _target(build: Build, name: str, target: Any) -> Any:
    """A named port's number, as the pods have it."""
    numbers = [
        at(port, "containerPort")
        for pod in build.pods_of(name)
        for container in pod.containers
        for port in items(container, "ports")
        if at(port, "name") == target
    ]
    return numbers[0] if numbers else target
