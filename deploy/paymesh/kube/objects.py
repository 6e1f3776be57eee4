"""What is asked of an object as it stands in a manifest or comes from the API server."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Object = dict[str, Any]

PART_OF = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"
NAME = "app.kubernetes.io/name"
OURS = f"{PART_OF}=paymesh"
MANAGER = "paymesh"

# Of the pods of each: where its template stands.
_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


class Key(NamedTuple):
    """What tells an object from all others; `namespace` is empty for the cluster's own."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else self.short

    @property
    def short(self) -> str:
        """Without the namespace."""
        return f"{self.kind} {self.name}"


class Reference(NamedTuple):
    """A Secret or ConfigMap that a pod cannot start without, and the keys that it needs of
    it; no keys means whatever there is.
    """

    kind: str
    namespace: str
    name: str
    keys: frozenset[str]


def key(value: Mapping[str, Any]) -> Key:
    """An object's key."""
    metadata = value["metadata"]
    return Key(value["apiVersion"], value["kind"], metadata.get("namespace", ""), metadata["name"])


def label(value: Mapping[str, Any], name: str) -> str:
    """A label's value, or nothing."""
    return str((value["metadata"].get("labels") or {}).get(name, ""))


def annotation(value: Mapping[str, Any], name: str) -> str:
    """An annotation's value, or nothing."""
    return str((value["metadata"].get("annotations") or {}).get(name, ""))


def pod_template(value: Mapping[str, Any]) -> Any:
    """The pod template of a workload controller; None for any other kind."""
    path = _TEMPLATES.get(value["kind"])
    if path is None:
        return None
    found: Any = value
    for part in path:
        found = found[part]
    return found


def containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every container of a pod spec, sidecars and other init containers first."""
    for name in ("initContainers", "containers"):
        yield from spec.get(name) or ()


def references(value: Mapping[str, Any]) -> Iterator[Reference]:
    """The Secrets and ConfigMaps that the pods of a workload controller need to start."""
    template = pod_template(value)
    if template is None:
        return
    namespace, spec = value["metadata"].get("namespace", ""), template["spec"]
    for volume in spec.get("volumes") or ():
        yield from _of_volume(namespace, volume)
    for container in containers(spec):
        for variable in container.get("env") or ():
            source = variable.get("valueFrom") or {}
            for kind, field in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
                found = source.get(field)
                if found and not found.get("optional"):
                    yield Reference(kind, namespace, found["name"], frozenset({found["key"]}))


def _of_volume(namespace: str, volume: Mapping[str, Any]) -> Iterator[Reference]:
    sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
    for source in sources:
        for kind, field in (("Secret", "secret"), ("ConfigMap", "configMap")):
            found = source.get(field)
            if not found or found.get("optional"):
                continue
            keys = frozenset(item["key"] for item in found.get("items") or ())
            name = found.get("secretName") or found.get("name")
            yield Reference(kind, namespace, name, keys)


def decoded(value: Mapping[str, Any]) -> dict[str, bytes]:
    """The contents of a Secret, or of a ConfigMap."""
    found: dict[str, bytes] = {}
    encoded = "data" if value["kind"] == "Secret" else "binaryData"
    for name, text in (value.get(encoded) or {}).items():
        found[name] = base64.b64decode(text)
    if value["kind"] == "ConfigMap":
        found |= {name: text.encode() for name, text in (value.get("data") or {}).items()}
    return found
