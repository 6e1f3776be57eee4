"""The admission policy: which pods may exist beside the workloads' identities.

Who may create a pod in the workloads' namespace chooses its service account, and
with it an identity. The policy leaves nothing to choose: a pod there is one of the
workloads, with its sidecars, its images, its commands and its secrets, or it is
refused with a sentence that says what to do.
"""

from __future__ import annotations

import json
from typing import Any

from paymesh.mesh import Mesh, Workload
from paymesh.render.kubernetes import containers, rules
from paymesh.render.kubernetes.common import (
    NAMESPACE_LABEL,
    Object,
    labels,
)

NAME = "paymesh-pods"
# Between quotes in the policy; the component's `replacements` put the images there.
_UNFILLED = "filled-by-kustomize"
_IMAGES = ("app", "envoy", "pdp")
# What an operator may set for the app of a service. The place for traces is copied from the
# pods by components/observability; nothing, which is the same as unset, without it.
_TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"
_LOG_LEVELS = tuple(f"PAYMESH_LOG_LEVEL={n}" for n in ("debug", "info", "warning", "error"))


def admission(mesh: Mesh) -> list[Object]:
    """The policy and its binding.

    The policy has no parameters: the API server (1.36 and before) never finds a ConfigMap
    again once the last policy that has one for a parameter was deleted and made anew
    (kubernetes/kubernetes#130887), and would refuse every pod until it is restarted.
    """
    metadata = {"name": NAME, "labels": labels(NAME, "platform")}
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": _constraints(mesh),
                "matchConditions": [_CHANGES],
                "variables": _variables(mesh),
                "validations": rules.validations(mesh),
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {"policyName": NAME, "validationActions": ["Deny"]},
        },
    ]


# A controller that takes its finalizer off a pod of yesterday's image must not be
# refused: only what changes the pod is looked at.
_CHANGES = {
    "name": "changes-what-runs",
    "expression": "request.operation == 'CREATE' || object.spec != oldObject.spec || "
    "object.metadata.?labels.orValue({}) != oldObject.metadata.?labels.orValue({})",
}


def _constraints(mesh: Mesh) -> Object:
    return {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: mesh.namespace}},
        "resourceRules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["pods", "pods/ephemeralcontainers"],
            }
        ],
    }


def _variables(mesh: Mesh) -> list[Object]:
    workloads = list(mesh.workloads.values())
    parts = [(w, part) for w in workloads for part in _containers(mesh, w)]
    tables: dict[str, Any] = {
        "sidecars": {w.name: [c["name"] for c in _sidecars(mesh, w)] for w in workloads},
        "commands": {_key(w, part): part.get("command", []) for w, part in parts},
        # A job's arguments are data, such as whose statements.
        "arguments": {_key(w, part): part.get("args", []) for w, part in parts if w.kind != "job"},
        "environment": {_key(w, part): _environment(part) for w, part in parts},
        "secrets": {w.name: _secrets(w) for w in workloads},
        "configs": {w.name: _configs(w) for w in workloads},
    }
    images = "{" + ", ".join(f"'{image}': variables.{image}Image" for image in _IMAGES) + "}"
    choices = ", ".join((f"'{_TRACES}=' + variables.traces", *(f"'{n}'" for n in _LOG_LEVELS)))
    name = "object.metadata.?labels[?'app.kubernetes.io/name'].orValue('')"
    return [
        {"name": "workload", "expression": name},
        {"name": "account", "expression": "object.spec.?serviceAccountName.orValue('')"},
        {"name": "before", "expression": "object.spec.?initContainers.orValue([])"},
        {"name": "containers", "expression": "variables.before + object.spec.containers"},
        {"name": "volumes", "expression": "object.spec.?volumes.orValue([])"},
        *({"name": f"{image}Image", "expression": f"'{_UNFILLED}'"} for image in _IMAGES),
        {"name": "images", "expression": images},
        {"name": "traces", "expression": "''"},
        {"name": "choices", "expression": f"[{choices}]"},
        *({"name": key, "expression": json.dumps(value)} for key, value in tables.items()),
    ]


def _sidecars(mesh: Mesh, workload: Workload) -> list[Object]:
    return containers.init_containers(mesh, workload)


def _containers(mesh: Mesh, workload: Workload) -> list[Object]:
    return [*_sidecars(mesh, workload), containers.app(mesh, workload)]


def _key(workload: Workload, container: Object) -> str:
    return f"{workload.name}/{container['name']}"


def _environment(container: Object) -> list[str]:
    """`NAME=value`, or `NAME from Secret/key`: no name has a `=`, so neither is the other."""
    return [_variable(found) for found in container.get("env", [])]


def _variable(found: Object) -> str:
    if "valueFrom" not in found:
        return f"{found['name']}={found['value']}"
    secret = found["valueFrom"]["secretKeyRef"]
    return f"{found['name']} from {secret['name']}/{secret['key']}"


def _secrets(workload: Workload) -> list[str]:
    if workload.kind == "gateway":
        return [containers.TLS_SECRET]
    return [workload.name] if workload.kind == "service" else []


def _configs(workload: Workload) -> str:
    """A regular expression of the ConfigMaps' names, with kustomize's hash or without."""
    if workload.kind == "job":
        return "^$"
    hashed = [f"envoy-{workload.name}", "paymesh-descriptors"]
    fixed = ["paymesh-trust"]
    if workload.kind == "service":
        hashed.append(f"pdp-{workload.name}")
        fixed.append("paymesh-policy-floor")
    return f"^(({'|'.join(hashed)})(-[a-z0-9]{{10}})?|{'|'.join(fixed)})$"
