"""Every object against the models of the `kubernetes` client, strictly.

An unknown field, one that is missing and a value of another type are findings: the
API server drops the first without a word where validation is not strict.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

from kubernetes import client

from paymesh.checker.finding import Findings
from paymesh.checker.kubernetes.build import Build, describe
from paymesh.checker.walk import at

_MODELS = {
    ("v1", "ConfigMap"): "V1ConfigMap",
    ("v1", "Namespace"): "V1Namespace",
    ("v1", "PersistentVolumeClaim"): "V1PersistentVolumeClaim",
    ("v1", "Secret"): "V1Secret",
    ("v1", "Service"): "V1Service",
    ("v1", "ServiceAccount"): "V1ServiceAccount",
    ("apps/v1", "DaemonSet"): "V1DaemonSet",
    ("apps/v1", "Deployment"): "V1Deployment",
    ("apps/v1", "StatefulSet"): "V1StatefulSet",
    ("batch/v1", "CronJob"): "V1CronJob",
    ("batch/v1", "Job"): "V1Job",
    ("networking.k8s.io/v1", "NetworkPolicy"): "V1NetworkPolicy",
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): "V1ClusterRole",
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): "V1ClusterRoleBinding",
    ("rbac.authorization.k8s.io/v1", "Role"): "V1Role",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "V1RoleBinding",
    ("storage.k8s.io/v1", "CSIDriver"): "V1CSIDriver",
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): "V1CustomResourceDefinition",
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
    ): "V1ValidatingAdmissionPolicy",
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
    ): "V1ValidatingAdmissionPolicyBinding",
}
# Their shape is in a CustomResourceDefinition, which the API server holds them to.
CUSTOM = frozenset({("spire.spiffe.io/v1alpha1", "ClusterSPIFFEID")})
_CONTAINER = re.compile(r"(List\[|Dict\[str, )(.+)\]")
_SCALARS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bytes": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "datetime": (str, dt.datetime),
}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def check_schema(found: Findings, build: Build) -> None:
    """All of it."""
    seen = set()
    for value in build.objects:
        problems = list(problems_of(value))
        found.expect(
            not problems,
            "schema-valid",
            f"{describe(value)}: {'; '.join(problems[:4])}",
            "see the API's reference of Kubernetes",
        )
        key = (at(value, "apiVersion"), describe(value))
        found.expect(
            key not in seen, "objects-once", f"{describe(value)} stands twice", "leave one"
        )
        seen.add(key)


def problems_of(value: Any) -> Iterator[str]:
    """What is wrong with one object's shape."""
    key = (str(at(value, "apiVersion")), str(at(value, "kind")))
    if not _NAME.fullmatch(str(at(value, "metadata", "name"))):
        yield "metadata.name is no name"
    if key in CUSTOM:
        return
    if key not in _MODELS:
        yield f"{key[1]} of {key[0]} is not known here"
        return
    yield from _value(value, _MODELS[key], key[1])


def _value(value: Any, type_: str, path: str) -> Iterator[str]:
    container = _CONTAINER.fullmatch(type_)
    if type_ == "object":
        return
    if container:
        yield from _members(value, container, path)
    elif type_ in _SCALARS:
        # A bool is an int to Python, and to nobody else.
        wrong = not isinstance(value, _SCALARS[type_]) or (
            isinstance(value, bool) and type_ != "bool"
        )
        if wrong:
            yield f"{path} is {type(value).__name__}, not {type_}"
    else:
        yield from _model(value, getattr(client, type_), path)


def _members(value: Any, container: re.Match[str], path: str) -> Iterator[str]:
    if container[1] == "List[":
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        members = [(f"{path}[{index}]", member) for index, member in enumerate(value)]
    else:
        if not isinstance(value, dict):
            yield f"{path} is no mapping"
            return
        members = [(f"{path}.{key}", member) for key, member in value.items()]
    for name, member in members:
        yield from _value(member, container[2], name)


def _model(value: Any, model: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is no mapping"
        return
    attributes = {json: name for name, json in model.attribute_map.items()}
    known = {}
    for key, member in value.items():
        if key not in attributes:
            yield f"{path}.{key} is unknown"
        elif member is None:
            yield f"{path}.{key} is null"
        else:
            known[attributes[key]] = member
            yield from _value(member, model.openapi_types[attributes[key]], f"{path}.{key}")
    try:
        # Its setters refuse a required field that is missing, and nothing else that gets here.
        model(**known)
    except ValueError as error:
        yield f"{path}: {error}"
