"""What the sections look at: the build of the overlay that was deployed, and the cluster."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from paymesh.errors import ConfigError
from paymesh.grants import Grants
from paymesh.kube import kustomize, podexec
from paymesh.kube.deploy import deployed_overlay, narrowed, overlay_directory
from paymesh.kube.objects import NAME, Key, Object, key
from paymesh.kube.podexec import Container
from paymesh.kube.site import Site
from paymesh.mesh import Workload

APP = "app"
ADMIN_SOCKET = "/run/paymesh/workload/admin.sock"
DEPLOY = "run `paymesh deploy`"


class Look:
    """One run of the checks. What several sections need is asked for once.

    Args:
        site: the cluster, and this home's keys.
        grants: the reviewers' file.
        overlay: the name or directory of another overlay than the one that was deployed.
    """

    def __init__(self, site: Site, grants: Grants, overlay: str | None = None) -> None:
        self.site = site
        self.mesh = site.mesh
        self.cluster = site.cluster
        self.grants = grants
        self._overlay = overlay

    @functools.cached_property
    def overlay(self) -> Path:
        """Where the kustomization is."""
        if self._overlay is not None:
            return overlay_directory(self.site.root, self._overlay)
        found = deployed_overlay(self.site)
        if found is None:
            raise ConfigError(
                f"no deployment to context {self.cluster.context!r} has come to its end:"
                " run `paymesh deploy`, or name an overlay with --overlay"
            )
        return self.site.root / found

    @functools.cached_property
    def built(self) -> list[Object]:
        """Every object of the overlay, as a deployment would apply it."""
        return narrowed(self.cluster, kustomize.build(self.overlay))

    def built_of(self, *kinds: str) -> list[Object]:
        """Those of some kinds."""
        return [value for value in self.built if value["kind"] in kinds]

    def pods(self, namespace: str, name: str) -> list[Object]:
        """A workload's pods that are to stay, by name."""
        found = self.cluster.items("v1", "Pod", namespace, labels=f"{NAME}={name}")
        staying = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return sorted(staying, key=lambda pod: str(pod["metadata"]["name"]))

    def workload_pods(self, workload: Workload) -> list[Object]:
        """A workload's pods in the mesh's namespace."""
        return self.pods(self.mesh.namespace, workload.name)

    def envoy(self, pod: Object, target: str) -> tuple[int, Any]:
        """Status and JSON of Envoy's administration interface, asked from inside the pod: there
        is no other way to its socket.
        """
        status, body = podexec.unix_get(self.cluster, app_of(pod), ADMIN_SOCKET, target)
        return status, json.loads(body)

    def as_stored(self, value: Object) -> Object:
        """What the API server would make of an object, with all defaults, without storing it."""
        wanted = {**value, "metadata": {**value["metadata"]}}
        # Of another name, so that nothing of the stored object's comes in.
        wanted["metadata"]["name"] = f"{value['metadata']['name']}-as-built"
        return self.cluster.create(wanted, dry_run=True)

    def differs(self, value: Object) -> str | None:
        """How the cluster's object differs from the built one; None when it does not."""
        found = self.cluster.find(key(value))
        if found is None:
            return "it is not there"
        wanted = self.as_stored(value)
        parts = sorted(
            part
            for part in set(wanted) | set(found)
            if part not in {"apiVersion", "kind", "metadata", "status"}
            and wanted.get(part) != found.get(part)
        )
        return f"its {' and '.join(parts)} differs from what the checkout builds" if parts else None


def app_of(pod: Object) -> Container:
    """A pod's main container."""
    return Container(pod["metadata"]["namespace"], pod["metadata"]["name"], APP)


def name_of(pod: Object) -> str:
    """A pod's name."""
    return str(pod["metadata"]["name"])


def logs(namespace: str, pod: str, container: str) -> str:
    """The mend that is to look."""
    return f"see `kubectl --namespace {namespace} logs {pod} --container {container}`"


def describe(wanted: Key) -> str:
    """The mend that is to ask Kubernetes."""
    place = f"--namespace {wanted.namespace} " if wanted.namespace else ""
    return f"see `kubectl {place}describe {wanted.kind.lower()} {wanted.name}`"
