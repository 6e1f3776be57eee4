"""The admission policy: that it is asked, that it refuses, and what it was told of the pods.

Whether its expressions do what they say only a cluster shows (`make test-k8s`);
here the tables in them are compared with the pods of the build.
"""

from __future__ import annotations

import json
import re
from typing import Any

from paymesh.checker.finding import Findings
from paymesh.checker.kubernetes.build import Build, Object, Pod, describe
from paymesh.checker.walk import at, items

_NAMESPACE = "kubernetes.io/metadata.name"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
# Each is looked at by a rule: what a pod could do harm with.
_LOOKED_AT = (
    "variables.account == variables.workload",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "shareProcessNamespace",
    "hostPort",
    "ephemeralContainers",
    "v.csi.driver == 'csi.spiffe.io'",
    "automountServiceAccountToken",
    "restartPolicy",
    "object.spec.containers.map(c, c.name) == ['app']",
    "c.image == variables.images",
    "variables.commands",
    "variables.arguments",
    "variables.environment[?variables.workload + '/' + c.name].orValue([]) ||",
    "variables.environment[?variables.workload + '/' + c.name].orValue([]).all(wanted",
    "variables.choices",
    "secretKeyRef.?optional",
    "variables.sidecars",
    "variables.secrets",
    "variables.configs",
    "c.lifecycle",
    "c.envFrom",
    *(f"c.?{probe}.?exec" for probe in _PROBES),
    *(f"c.?{probe}.?{kind}.?host" for probe in _PROBES for kind in ("httpGet", "tcpSocket")),
    "c.?terminationMessagePath",
    "m.mountPath",
)
# A member of the mapping `images`: a container's name, and the variable with its image.
_IMAGE = re.compile(r"'([a-z]+)': variables\.([A-Za-z]+)")
# Filled in by a component, where a service's app may send traces.
_TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT="
_CHOICES = {f"'PAYMESH_LOG_LEVEL={name}'" for name in ("debug", "info", "warning", "error")}


def check_admission(found: Findings, build: Build) -> None:
    """All of it."""
    policies = build.of("ValidatingAdmissionPolicy")
    found.equal("one-admission-policy", len(policies), 1, "add components/admission")
    for policy in policies:
        _check_reach(found, build, policy)
        _check_rules(found, policy)
        _check_tables(found, build, policy)
        _check_binding(found, build, policy)


def _check_reach(found: Findings, build: Build, policy: Object) -> None:
    spec = at(policy, "spec") or {}
    found.equal("admission-fails-closed", at(spec, "failurePolicy"), "Fail")
    constraints = at(spec, "matchConstraints") or {}
    rules = items(constraints, "resourceRules")
    covered = {
        (operation, resource)
        for rule in rules
        if items(rule, "apiGroups") == [""] and not items(rule, "resourceNames")
        for operation in items(rule, "operations")
        for resource in items(rule, "resources")
    }
    wanted = {(o, r) for o in ("CREATE", "UPDATE") for r in ("pods", "pods/ephemeralcontainers")}
    conditions = " && ".join(str(at(c, "expression")) for c in items(spec, "matchConditions"))
    found.expect(
        covered >= wanted
        and at(constraints, "namespaceSelector") == {"matchLabels": {_NAMESPACE: build.workloads}}
        and not at(constraints, "objectSelector")
        and not items(constraints, "excludeResourceRules")
        and (not conditions or conditions.startswith("request.operation == 'CREATE' || ")),
        "admission-covers-pods",
        "a pod of the workloads' namespace is let in without being looked at",
        "match pods and pods/ephemeralcontainers of the namespace, created or updated",
    )


def _check_rules(found: Findings, policy: Object) -> None:
    validations = items(policy, "spec", "validations")
    expressions = " ; ".join(str(at(v, "expression")) for v in validations)
    missing = [part for part in _LOOKED_AT if part not in expressions]
    found.expect(
        not missing,
        "admission-looks-at-everything",
        f"nothing looks at {', '.join(missing)}",
        "add the rule back",
    )
    silent = [v for v in validations if not at(v, "message")]
    found.expect(not silent, "admission-says-why", "a refusal has no message", "say what to do")


def _check_tables(found: Findings, build: Build, policy: Object) -> None:
    tables = _tables(policy)
    workloads = build.facts.mesh["workloads"]
    pods = [(name, pod) for name in workloads for pod in build.pods_of(name)]
    wanted: dict[str, Any] = {
        "sidecars": {n: [at(c, "name") for c in items(p.spec, "initContainers")] for n, p in pods},
        "commands": {
            f"{n}/{c['name']}": items(c, "command") for n, p in pods for c in p.containers
        },
        "arguments": {
            f"{n}/{c['name']}": items(c, "args")
            for n, p in pods
            for c in p.containers
            if workloads[n]["kind"] != "job"
        },
        "environment": {
            f"{n}/{c['name']}": [v for v in _environment(c) if not v.startswith(_TRACES)]
            for n, p in pods
            for c in p.containers
        },
        "secrets": {n: sorted(_secrets(p)) for n, p in pods},
    }
    for name, value in wanted.items():
        found.expect(
            tables.get(name) == value,
            "admission-tables-equal-pods",
            f"`{name}` is not what the pods have: they would be refused",
            "run `paymesh render`; what is patched into a pod must be rendered",
        )
    for workload, pod in pods:
        _check_configs(found, workload, pod, tables)
    _check_choices(found, policy, [pod for _, pod in pods])


def _check_choices(found: Findings, policy: Object, pods: list[Pod]) -> None:
    """The variables that a service's app need not have: how much is logged, where traces go."""
    expressions = _expressions(policy)
    choices = set(expressions.get("choices", "").strip("[]").split(", "))
    sent = {
        v.removeprefix(_TRACES)
        for pod in pods
        for c in pod.containers
        for v in _environment(c)
        if v.startswith(_TRACES)
    }
    found.expect(
        choices == _CHOICES | {f"'{_TRACES}' + variables.traces"}
        and {expressions.get("traces")} == {f"'{place}'" for place in sent or {""}},
        "admission-choices",
        f"variables {', '.join(sorted(choices))}; traces to {expressions.get('traces')}, "
        f"pods send them to {', '.join(sorted(sent)) or 'nobody'}",
        "list components/observability after components/admission",
    )


def _environment(container: Object) -> list[str]:
    """Each variable as the policy spells it."""
    found = []
    for variable in items(container, "env"):
        said = f"={at(variable, 'value') or ''}"
        if at(variable, "valueFrom"):
            secret = at(variable, "valueFrom", "secretKeyRef")
            said = f" from {at(secret, 'name')}/{at(secret, 'key')}"
        found.append(f"{at(variable, 'name')}{said}")
    return found


def _check_configs(found: Findings, workload: str, pod: Pod, tables: dict[str, Any]) -> None:
    pattern = str((tables.get("configs") or {}).get(workload))
    names = {
        str(at(v, "configMap", "name")) for v in items(pod.spec, "volumes") if at(v, "configMap")
    }
    refused = [name for name in names if not re.fullmatch(pattern.strip("^$"), name)]
    others = [f"envoy-{workload}x", f"x{workload}", "envoy-x", "kube-root-ca.crt"]
    found.expect(
        pattern.startswith("^")
        and pattern.endswith("$")
        and not refused
        and not any(re.search(pattern, name) for name in others),
        "admission-tables-equal-pods",
        f"{workload}: ConfigMaps {', '.join(refused) or 'of others'}",
    )


def _tables(policy: Object) -> dict[str, Any]:
    """The variables that are literals, which are JSON."""
    tables = {}
    for variable in items(policy, "spec", "variables"):
        expression = str(at(variable, "expression"))
        if expression.startswith('{"'):
            tables[str(at(variable, "name"))] = json.loads(expression)
    return tables


def _expressions(policy: Object) -> dict[str, str]:
    """The policy's variables by name."""
    return {
        str(at(v, "name")): str(at(v, "expression")) for v in items(policy, "spec", "variables")
    }


def _images(policy: Object) -> dict[str, str]:
    """Images by container, as the policy's variables spell them."""
    expressions = _expressions(policy)
    named = _IMAGE.findall(expressions.get("images", ""))
    return {key: expressions.get(name, "").strip("'") for key, name in named}


def _secrets(pod: Pod) -> set[str]:
    return {
        str(at(v, "secret", "secretName")) for v in items(pod.spec, "volumes") if at(v, "secret")
    }


def _check_binding(found: Findings, build: Build, policy: Object) -> None:
    name = at(policy, "metadata", "name")
    bindings = [
        binding
        for binding in build.of("ValidatingAdmissionPolicyBinding")
        if at(binding, "spec", "policyName") == name
    ]
    # Parameters of a core kind are lost for good when a policy that has them is deleted and
    # made anew (kubernetes/kubernetes#130887): every pod would be refused.
    found.expect(
        len(bindings) == 1
        and items(bindings[0], "spec", "validationActions") == ["Deny"]
        and not at(bindings[0], "spec", "matchResources")
        and not at(bindings[0], "spec", "paramRef")
        and not at(policy, "spec", "paramKind"),
        "admission-bound",
        f"{describe(policy)} refuses nothing, or everything",
        "bind it with Deny, to everything that it matches, without parameters",
    )
    running: dict[str, set[str]] = {}
    for pod in (p for p in build.pods if p.namespace == build.workloads):
        for container in pod.containers:
            running.setdefault(str(at(container, "name")), set()).add(str(at(container, "image")))
    allowed = _images(policy)
    found.equal(
        "admission-images",
        sorted((key, [image]) for key, image in allowed.items()),
        sorted((key, sorted(images)) for key, images in running.items()),
        "set images in a component that is listed before components/admission",
    )
