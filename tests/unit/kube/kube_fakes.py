"""A cluster in memory, with as much of the API server's behaviour as the code relies on."""

from __future__ import annotations

import copy
from typing import Any

from paymesh.kube.errors import ClusterError, Conflict, Invalid, NotFound
from paymesh.kube.objects import Key, Object, key


class FakeCluster:
    """Objects by key. `managers` are of fields that somebody else has set, by key."""

    def __init__(self, *objects: Object) -> None:
        self.context = "fake"
        self.objects: dict[Key, Object] = {}
        self.managers: dict[Key, str] = {}
        self.calls: list[tuple[str, Key]] = []
        self.stuck: set[Key] = set()
        self.foreground: set[Key] = set()
        self._serial = 0
        for value in objects:
            self._store(value)

    def find(self, wanted: Key) -> Object | None:
        """One object, or None."""
        found = self.objects.get(wanted)
        return copy.deepcopy(found) if found else None

    def get(self, wanted: Key) -> Object:
        """One object; NotFound without it."""
        found = self.find(wanted)
        if found is None:
            raise NotFound(f"no {wanted}")
        return found

    def items(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
    ) -> list[Object]:
        """Objects of a kind."""
        assert not fields or kind == "Event"
        wanted = dict(part.split("=") for part in labels.split(",") if part)
        return [
            copy.deepcopy(value)
            for place, value in sorted(self.objects.items())
            if (place.api_version, place.kind) == (api_version, kind)
            and namespace in {"", place.namespace}
            and wanted.items() <= (value["metadata"].get("labels") or {}).items()
        ]

    def apply(self, value: Object, *, force: bool = False, dry_run: bool = False) -> Object:
        """Server-side apply; conflicts with whoever manages the object."""
        place = key(value)
        self.calls.append(("apply", place))
        manager = self.managers.get(place)
        if manager and not force:
            cause = f'conflict with "{manager}" using apps/v1: .spec.replicas'
            raise Conflict(f"cannot apply {place}", (cause,))
        return self._store(value) if not dry_run else value

    def create(self, value: Object, *, dry_run: bool = False) -> Object:
        """Makes one that is not there."""
        place = key(value)
        self.calls.append(("create", place))
        if place in self.objects:
            raise Conflict(f"{place} is there")
        return self._store(value) if not dry_run else copy.deepcopy(value)

    def replace(self, value: Object) -> Object:
        """Refused when it has changed."""
        place = key(value)
        self.calls.append(("replace", place))
        before = self.get(place)["metadata"]["resourceVersion"]
        if value["metadata"].get("resourceVersion") != before:
            raise Conflict(f"{place} has changed")
        return self._store(value)

    def patch(self, wanted: Key, change: Object) -> Object:
        """JSON merge patch."""
        self.calls.append(("patch", wanted))
        return self._store(_merged(self.get(wanted), change))

    def delete(self, wanted: Key, *, propagation: str = "Background") -> bool:
        """Namespaces take everything in them along."""
        assert propagation in {"Background", "Foreground"}
        self.calls.append(("delete", wanted))
        if propagation == "Foreground":
            self.foreground.add(wanted)
        if wanted not in self.objects:
            return False
        if wanted in self.stuck and self.objects[wanted]["metadata"].get("finalizers"):
            self.objects[wanted]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            return True
        self._remove(wanted)
        return True

    def log(self, namespace: str, pod: str, container: str, *, previous: bool, lines: int) -> str:
        """A line that names what was asked for."""
        assert lines > 0
        if pod == "without-log":
            raise ClusterError("no log")
        return f"{container} of {namespace}/{pod}{' before' if previous else ''} says why\n"

    def version(self) -> tuple[int, int]:
        """Of a cluster that is new enough."""
        return 1, 34

    def request(self, method: str, path: str, *, what: str) -> Object:
        """Discovery, of the kinds that there are objects of, and of some others."""
        assert (method, bool(what)) == ("GET", True)
        kinds = {place[:2]: bool(place.namespace) for place in self.objects}
        if path == "/apis":
            versions: dict[str, list[Object]] = {}
            for version in sorted({version for version, _ in kinds} - {"v1"}):
                group = versions.setdefault(version.partition("/")[0], [])
                group.append({"groupVersion": version})
            groups = [{"preferredVersion": v[-1], "versions": v} for v in versions.values()]
            return {"groups": groups}
        found = [
            {
                "name": f"{kind.lower()}s",
                "kind": kind,
                "namespaced": namespaced,
                "verbs": ["get"] if kind == "PodMetrics" else ["delete", "get", "list"],
            }
            for (version, kind), namespaced in kinds.items()
            if path.partition("/")[2].partition("/")[2] == version
        ]
        return {
            "resources": [*found, *({**item, "name": f"{item['name']}/status"} for item in found)]
        }

    def _store(self, value: Object) -> Object:
        if not value["metadata"].get("name"):
            raise Invalid("it has no name")
        self._serial += 1
        stored = copy.deepcopy(value)
        stored["metadata"]["resourceVersion"] = str(self._serial)
        place = key(value)
        stored["metadata"].setdefault("uid", f"uid of {place}")
        if stored["metadata"].get("deletionTimestamp") and not stored["metadata"].get("finalizers"):
            self.objects.pop(place, None)
        else:
            self.objects[place] = stored
        return copy.deepcopy(stored)

    def _remove(self, wanted: Key) -> None:
        del self.objects[wanted]
        if wanted.kind == "Namespace":
            for place in [place for place in self.objects if place.namespace == wanted.name]:
                del self.objects[place]


class Said:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []

    def done(self, line: str) -> None:
        """Remembered."""
        self.lines.append(line)

    def waiting(self, line: str) -> None:
        """Remembered."""
        self.lines.append(line)

    def note(self, line: str) -> None:
        """Remembered."""
        self.notes.append(line)


def made(kind: str, name: str, namespace: str = "paymesh", **more: Any) -> Object:
    """An object of ours, as a deployment applies it."""
    versions = {
        "Deployment": "apps/v1",
        "StatefulSet": "apps/v1",
        "DaemonSet": "apps/v1",
        "ReplicaSet": "apps/v1",
        "Job": "batch/v1",
        "CronJob": "batch/v1",
        "NetworkPolicy": "networking.k8s.io/v1",
        "CustomResourceDefinition": "apiextensions.k8s.io/v1",
        "ClusterSPIFFEID": "spire.spiffe.io/v1alpha1",
        "ClusterRole": "rbac.authorization.k8s.io/v1",
    }
    metadata: Object = {
        "name": name,
        "labels": {"app.kubernetes.io/part-of": "paymesh"},
        "managedFields": [{"manager": "paymesh", "operation": "Apply"}],
    }
    if namespace:
        metadata["namespace"] = namespace
    metadata |= more.pop("metadata", {})
    return {"apiVersion": versions.get(kind, "v1"), "kind": kind, "metadata": metadata, **more}


def _merged(value: Any, change: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(change, dict):
        return change
    found = dict(value) if isinstance(value, dict) else {}
    for name, part in change.items():
        if part is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name), part)
    return found
