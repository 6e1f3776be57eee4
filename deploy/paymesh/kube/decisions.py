"""What each decision point of the cluster enforces, asked of itself."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from paymesh.kube import forward, stuck
from paymesh.kube.client import Cluster
from paymesh.kube.errors import ClusterError
from paymesh.kube.objects import NAME, Key, Object, decoded
from paymesh.mesh import Mesh, Workload
from paymesh.policy import condition

PDP = "pdp"
# Asked by a stranger, to see that it is refused.
QUESTION = "/v1/data/paymesh/objects/decision"
_TIMEOUT_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one decision point said. `revision` is None when it enforces none, or when it
    could not be asked; then `problem` says why. `refused` is why it did not take what it was
    offered last, `unrecorded` why it could not record its last decision.
    """

    pod: str
    workload: str
    revision: str | None
    problem: str | None = None
    refused: str | None = None
    unrecorded: str | None = None


class DecisionPoint:
    """One pod's decision point, over one stream that is kept open."""

    def __init__(self, cluster: Cluster, mesh: Mesh, workload: Workload, pod: str) -> None:
        self.pod = pod
        self.workload = workload.name
        self._cluster = cluster
        self._namespace = mesh.namespace
        self._port = int(workload.pdp_port or 0)
        self._connection: http.client.HTTPConnection | None = None

    def revision(self, token: str) -> Answer:
        """The bundle revision that it decides by, and what it says is wrong."""
        try:
            status, found = self.ask("GET", condition.TARGET, token)
        except (OSError, http.client.HTTPException, ClusterError, ValueError) as error:
            self.close()
            return Answer(self.pod, self.workload, None, f"it cannot be asked: {error}")
        if status >= HTTPStatus.BAD_REQUEST:
            why = f"it refuses everything: {found.get('message') or f'status {status}'}"
            return Answer(self.pod, self.workload, None, why)
        said = condition.read(found)
        problem = None if said.revision else "it has no policy"
        return Answer(
            self.pod, self.workload, said.revision, problem, said.refused, said.unrecorded
        )

    def ask(self, method: str, target: str, token: str | None) -> tuple[int, dict[str, Any]]:
        """One request to its data API.

        Raises:
            OSError, HTTPException, ClusterError, ValueError: no answer, or none of ours.
        """
        if self._connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", timeout=_TIMEOUT_SECONDS)
            connection.sock = forward.open_stream(
                self._cluster, self._namespace, self.pod, self._port
            )
            connection.sock.settimeout(_TIMEOUT_SECONDS)
            # Another connection by itself would go to this machine.
            connection.auto_open = 0
            self._connection = connection
        headers = {"authorization": f"Bearer {token}"} if token else {}
        body = b'{"input": {}}' if method == "POST" else None
        self._connection.request(method, target, body=body, headers=headers)
        response = self._connection.getresponse()
        found = json.loads(response.read(condition.MAX_BYTES) or b"{}")
        return response.status, found if isinstance(found, dict) else {}

    def close(self) -> None:
        """Ends the stream."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class DecisionPoints:
    """All of them, for as long as something is asked."""

    def __init__(self, cluster: Cluster, mesh: Mesh) -> None:
        self._cluster = cluster
        self._mesh = mesh
        self._open: dict[str, DecisionPoint] = {}
        self._tokens: dict[str, str] = {}

    @classmethod
    @contextlib.contextmanager
    def of(cls, cluster: Cluster, mesh: Mesh) -> Iterator[DecisionPoints]:
        """Closes every stream afterwards."""
        found = cls(cluster, mesh)
        try:
            yield found
        finally:
            for point in found._open.values():
                point.close()

    def running(self) -> list[DecisionPoint]:
        """Of every pod whose decision point runs and that is to stay; streams are kept."""
        found = {}
        for workload in self._mesh.services():
            labels = f"{NAME}={workload.name}"
            for pod in self._cluster.items("v1", "Pod", self._mesh.namespace, labels=labels):
                name = pod["metadata"]["name"]
                if has_started(pod):
                    found[name] = self._open.get(name) or DecisionPoint(
                        self._cluster, self._mesh, workload, name
                    )
        for name in set(self._open) - set(found):
            self._open[name].close()
        self._open = found
        return list(found.values())

    def answers(self) -> list[Answer]:
        """What each running decision point enforces now."""
        return [point.revision(self.token(point.workload)) for point in self.running()]

    def token(self, workload: str) -> str:
        """Bearer token of a workload's data API."""
        if workload not in self._tokens:
            secret = self._cluster.get(Key("v1", "Secret", self._mesh.namespace, workload))
            self._tokens[workload] = decoded(secret).get("pdp-token", b"").decode().strip()
        return self._tokens[workload]


def has_started(pod: Object) -> bool:
    """Whether the pod's decision point has a policy already, and the pod is to stay."""
    return "deletionTimestamp" not in pod["metadata"] and any(
        container["name"] == PDP and container.get("started")
        for container in stuck.container_statuses(pod)
    )
