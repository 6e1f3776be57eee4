"""Finds the parts of a build that the mutation tests break."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
Objects = list[Object]


@dataclasses.dataclass(frozen=True)
class Mutation:
    """Breaks a build; `properties` is everything that the checker says then."""

    name: str
    properties: frozenset[str]
    apply: Callable[[Objects], object]


def mutation(name: str, properties: str, apply: Callable[[Objects], object]) -> Mutation:
    """One way to break a build; `properties` are separated by spaces."""
    return Mutation(name, frozenset(properties.split()), apply)


def one(objects: Objects, kind: str, name: str, namespace: str | None = None) -> Object:
    """The object of that kind and name."""
    (found,) = [
        o
        for o in objects
        if o["kind"] == kind
        and o["metadata"]["name"] == name
        and namespace in (None, o["metadata"].get("namespace"))
    ]
    return found


def put(where: Object, **values: Any) -> None:
    """Sets fields, in a place where only an expression fits."""
    where.update(values)


def spec(objects: Objects, name: str, kind: str = "Deployment") -> Object:
    """The spec of a controller's pods."""
    found: Object = one(objects, kind, name)["spec"]
    if kind == "CronJob":
        found = found["jobTemplate"]["spec"]
    template: Object = found["template"]["spec"]
    return template


def container(objects: Objects, name: str, which: str, kind: str = "Deployment") -> Object:
    """A container, sidecar or not."""
    pod = spec(objects, name, kind)
    everything = [*pod.get("initContainers", ()), *pod["containers"]]
    return next(c for c in everything if c["name"] == which)


def app(objects: Objects) -> Object:
    """The app of payments."""
    return container(objects, "payments", "app")


def stand_in(objects: Objects) -> Object:
    """A pod that is no workload: what breaks it breaks nothing else."""
    return spec(objects, "simulators")


def stand_in_container(objects: Objects) -> Object:
    """Its one container."""
    return container(objects, "simulators", "simulators")


def volume(objects: Objects, name: str, which: str, kind: str = "Deployment") -> Object:
    """A volume of a controller's pods."""
    return next(v for v in spec(objects, name, kind)["volumes"] if v["name"] == which)


def policy(objects: Objects, name: str, namespace: str = "paymesh") -> Object:
    """The spec of a NetworkPolicy."""
    found: Object = one(objects, "NetworkPolicy", name, namespace)["spec"]
    return found


def admission(objects: Objects) -> Object:
    """The spec of the admission policy."""
    found: Object = one(objects, "ValidatingAdmissionPolicy", "paymesh-pods")["spec"]
    return found


def binding(objects: Objects) -> Object:
    """The spec of its binding."""
    found: Object = one(objects, "ValidatingAdmissionPolicyBinding", "paymesh-pods")["spec"]
    return found


def variable(objects: Objects, name: str) -> Object:
    """A variable of the admission policy."""
    return next(v for v in admission(objects)["variables"] if v["name"] == name)


def identity(objects: Objects, workload: str = "ledger") -> Object:
    """The spec of a workload's ClusterSPIFFEID."""
    found: Object = one(objects, "ClusterSPIFFEID", f"paymesh-{workload}")["spec"]
    return found


def remove(objects: Objects, kind: str, name: str, namespace: str | None = None) -> None:
    """Takes an object out."""
    objects.remove(one(objects, kind, name, namespace))
