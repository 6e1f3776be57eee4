"""A built kustomization: what would be applied, found by kind, and its pods."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from paymesh.checker.facts import Facts
from paymesh.checker.walk import at, items

Object = dict[str, Any]

NAME = "app.kubernetes.io/name"
PART = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"
_TEMPLATES = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


@dataclasses.dataclass(frozen=True)
class Pod:
    """What a controller makes pods from."""

    owner: Object
    namespace: str
    labels: dict[str, str]
    spec: Object

    @property
    def name(self) -> str:
        """`namespace/name`, by the label that everything selects on."""
        return f"{self.namespace}/{self.labels.get(NAME)}"

    @property
    def containers(self) -> list[Object]:
        """Every container, those that start first first."""
        return [
            *items(self.spec, "initContainers"),
            *items(self.spec, "containers"),
            *items(self.spec, "ephemeralContainers"),
        ]


@dataclasses.dataclass
class Build:
    """The objects of one kustomization.

    `components` are the names of the directories below `components/` that it was
    built with, and `providers` where it reaches the real ones: they decide which
    edges there may be.
    """

    name: str
    facts: Facts
    components: frozenset[str]
    objects: list[Object]

    def of(self, kind: str, namespace: str | None = None) -> list[Object]:
        """The objects of one kind, in one namespace or in all."""
        return [
            o
            for o in self.objects
            if at(o, "kind") == kind
            and (namespace is None or at(o, "metadata", "namespace") == namespace)
        ]

    def one(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """The object of that kind and name, if there is one."""
        found = [o for o in self.of(kind, namespace) if at(o, "metadata", "name") == name]
        return found[0] if len(found) == 1 else None

    @property
    def pods(self) -> list[Pod]:
        """One for each controller, whatever its kind."""
        return list(_pods(self.objects))

    @property
    def workloads(self) -> str:
        """The workloads' namespace."""
        return str(self.facts.mesh["namespace"])

    def namespace(self, role: str) -> str:
        """A namespace by its role in deploy/mesh.yaml."""
        return str(self.facts.mesh["kubernetes"]["namespaces"][role])

    def port(self, name: str) -> int:
        """A port by its name in deploy/mesh.yaml."""
        return int(self.facts.mesh["kubernetes"]["ports"][name])

    def pods_of(self, workload: str) -> list[Pod]:
        """What makes a workload's pods; exactly one, if all is well."""
        return [pod for pod in self.pods if pod.name == f"{self.workloads}/{workload}"]


def describe(value: Object) -> str:
    """An object as people speak of it."""
    namespace, name = at(value, "metadata", "namespace"), at(value, "metadata", "name")
    return f"{at(value, 'kind')} {f'{namespace}/' if namespace else ''}{name}"


def _pods(objects: list[Object]) -> Iterator[Pod]:
    for owner in objects:
        path = _TEMPLATES.get(str(at(owner, "kind")))
        if path is None:
            continue
        template = at(owner, *path) or {}
        yield Pod(
            owner=owner,
            namespace=str(at(owner, "metadata", "namespace") or "default"),
            labels=at(template, "metadata", "labels") or {},
            spec=at(template, "spec") or {},
        )
