"""The mesh in a cluster as the tests see it: kubectl, pods to call from, the `paymesh` command."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import json_format, message_factory
from google.rpc import error_details_pb2, status_pb2

from paymesh import dial, users
from paymesh.calls import Catalogue
from paymesh.demo.session import TENANT
from paymesh.grants import Grants
from paymesh.mesh import Mesh
from paymesh.paths import Paths

T = TypeVar("T")
Request = dict[str, Any]

_INSIDE = Path(__file__).with_name("inside.py").read_text("utf-8")
_KUBECTL = shutil.which("kubectl") or "/usr/bin/kubectl"
_SERVICES_IMAGE = "paymesh.internal/services:0.1.0"
_LONGEST_SECONDS = 300
_DRY_RUN = ("create", "--dry-run=server")
_SET_BY_THE_SERVER = (
    *("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"),
)
_SPIRE_SERVER_SOCKET = "/run/spire/server/private/api.sock"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a call from inside a pod came to."""

    code: str
    reason: str | None
    decision_id: str | None
    message: str

    @property
    def decided(self) -> str:
        """The policy's reason, or ALLOWED for whatever the service itself answered."""
        return (self.reason or self.code) if self.decision_id else "ALLOWED"

    @property
    def refused_in_handshake(self) -> bool:
        """Nobody that speaks for the mesh answered."""
        return self.code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"} and self.reason is None


@dataclasses.dataclass(frozen=True)
class Place:
    """A container to run Python in."""

    namespace: str
    pod: str
    container: str = "app"


class Cluster:
    """A deployed mesh."""

    def __init__(self, paths: Paths, mesh: Mesh, grants: Grants) -> None:
        self.paths = paths
        self.mesh = mesh
        self.grants = grants
        self.catalogue = Catalogue.load()
        self._svids: dict[str, dial.Svid] = {}

    @staticmethod
    def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Standard output of kubectl with the cluster's own configuration."""
        done = subprocess.run(
            [_KUBECTL, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_SECONDS,
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout if done.returncode == 0 else done.stderr

    def objects(self, *arguments: str) -> list[Any]:
        """The items of `kubectl get`."""
        found: list[Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return found

    def pods(self, name: str, namespace: str | None = None) -> list[Any]:
        """Pods of a workload that are neither done nor ending."""
        selector = f"app.kubernetes.io/name={name}"
        found = self.objects("pods", "-n", namespace or self.mesh.namespace, "-l", selector)
        return [
            pod
            for pod in found
            if "deletionTimestamp" not in pod["metadata"]
            and pod["status"].get("phase") == "Running"
        ]

    def place(self, workload: str) -> Place:
        """The app's container in some pod of a workload."""
        return Place(self.mesh.namespace, self.pods(workload)[0]["metadata"]["name"])

    def inside(self, place: Place, *requests: Request) -> list[Any]:
        """What `inside.py` answers to the requests, in that container."""
        said = self.kubectl(
            *("exec", "-i", "-n", place.namespace, place.pod, "-c", place.container),
            *("--", "python", "-c", _INSIDE),
            stdin=json.dumps(list(requests)),
        )
        return [json.loads(line) for line in said.splitlines()]

    @staticmethod
    def paymesh(
        *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The command as a person runs it."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("paymesh")), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * _LONGEST_SECONDS,
            env=environment,
        )

    def check(self) -> dict[str, Any]:
        """`paymesh check --kube -o json`."""
        done = self.paymesh("check", "--kube", "-o", "json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["ok"] == (done.returncode == 0)
        return found

    def problems(self) -> list[str]:
        """What `check` finds wrong, a line each."""
        return [
            f"{found['section']}: {found['name']}: {found['problem']}"
            for found in self.check()["findings"]
            if found["level"] == "problem"
        ]

    def svid(self, workload: str) -> dial.Svid:
        """An SVID as SPIRE gives it to that workload: the one thing that is not fetched
        through the Workload API, because no image has a program for it in place.
        """
        if workload not in self._svids:
            spiffe_id = self.mesh.spiffe_id(workload)
            said = self.kubectl(
                *("exec", "-n", self.mesh.kubernetes.namespaces["spire_server"]),
                *("spire-server-0", "-c", "server", "--"),
                *("/opt/spire/bin/spire-server", "x509", "mint", "-ttl", "30m"),
                *("-spiffeID", spiffe_id, "-socketPath", _SPIRE_SERVER_SOCKET),
            )
            certificates, _, rest = said.partition("Private key:")
            key, _, bundle = rest.partition("Root CAs:")
            parts = [_pem(part) for part in (certificates, key, bundle)]
            self._svids[workload] = dial.Svid(spiffe_id, *parts)
        return self._svids[workload]

    def token(self, user: str, **changed: Any) -> list[tuple[str, str]]:
        """The header that makes a call this user's."""
        claims = {**users.claims(self.mesh, users.find(self.mesh, user)), **changed}
        return [("authorization", f"Bearer {users.sign(self.paths, claims)}")]

    def call(self, user: str, rpc: str, body: Mapping[str, Any]) -> Any:
        """The reply's JSON of an end user's call through the gateway, which has to succeed."""
        done = self.paymesh("call", "--kube", "--user", user, rpc, json.dumps(dict(body)))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)["reply"]

    def merchant_account(self, currency: str) -> str:
        """A merchant account of the demo's tenant, the same one each time."""
        request_id = uuid.uuid5(uuid.NAMESPACE_URL, f"test-k8s/{TENANT}/{currency}")
        request = {
            "request_id": str(request_id),
            "legal_entity": TENANT,
            "kind": "ACCOUNT_KIND_MERCHANT",
            "currency_code": currency,
        }
        return str(self.call("olivia", "ledger/OpenAccount", request)["account"]["account_id"])

    def roll(self, what: str, namespace: str) -> None:
        """Replaces every pod of a Deployment, StatefulSet or DaemonSet and waits for it."""
        self.kubectl("rollout", "restart", what, "-n", namespace)
        self.kubectl("rollout", "status", what, "-n", namespace, "--timeout=280s")
        # Done means that the last of the old pods has gone, not that the new ones are there.
        name = what.partition("/")[2]
        self.until(
            lambda: (
                not [
                    pod
                    for pod in self.objects(
                        "pods", "-n", namespace, "-l", f"app.kubernetes.io/name={name}"
                    )
                    if "deletionTimestamp" in pod["metadata"]
                ]
            ),
            f"old pods of {what} do not end",
            timeout_seconds=90,
        )

    @contextlib.contextmanager
    def standing_in_for(self, caller: str) -> Iterator[Place]:
        """A place to call from in the caller's network position: its app's container, or for
        a job a pod of its own as the job would have it.
        """
        if self.mesh.workloads[caller].kind != "job":
            yield self.place(caller)
            return
        labels = {"app.kubernetes.io/name": caller, "app.kubernetes.io/part-of": "paymesh"}
        with self.slipped_in(f"{caller}-test", labels, caller) as place:
            yield place

    @contextlib.contextmanager
    def slipped_in(
        self, name: str, labels: Mapping[str, str], service_account: str
    ) -> Iterator[Place]:
        """A pod of our own among the workloads, past admission, with the Workload API's socket."""
        namespace = self.mesh.namespace
        with self._without_admission():
            manifest = json.dumps(
                pod_manifest(name, namespace, labels=labels, service_account=service_account)
            )
            # The API server forgets a binding a moment after it is gone.
            self.until(
                lambda: (
                    "created" in self.kubectl(*_DRY_RUN, "-f", "-", stdin=manifest, check=False)
                ),
                "the admission policy still refuses pods",
            )
            with self.pod(
                name, namespace, labels=labels, service_account=service_account, mesh_socket=True
            ) as place:
                yield place

    @contextlib.contextmanager
    def _without_admission(self) -> Iterator[None]:
        """As if the admission policy had been missed: the layers below must hold alone."""
        kind = "validatingadmissionpolicybinding"
        (binding,) = self.objects(kind, "-l", "app.kubernetes.io/part-of=paymesh")
        for field in _SET_BY_THE_SERVER:
            binding["metadata"].pop(field, None)
        self.kubectl("delete", kind, binding["metadata"]["name"])
        try:
            yield
        finally:
            restored = json.dumps(binding)
            self.kubectl(
                *("apply", "--server-side", "--field-manager=paymesh", "-f", "-"), stdin=restored
            )

    def message(self, rpc: str, body: Mapping[str, Any]) -> bytes:
        """A request of that RPC from its JSON."""
        request = message_factory.GetMessageClass(self.catalogue.method(rpc).input_type)()
        parsed = json_format.ParseDict(dict(body), request, ignore_unknown_fields=True)
        serialized: bytes = parsed.SerializeToString()
        return serialized

    def straight(
        self,
        callee: str,
        svid: dial.Svid | None,
        rpc: str,
        messages: Sequence[bytes] = (b"",),
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Request:
        """A request to `inside`: with this SVID at the callee's Envoy."""
        identity = None
        if svid is not None:
            identity = {
                "certificates": svid.certificates.decode(),
                "key": svid.key.decode(),
                "bundle": svid.bundle.decode(),
            }
        port = self.mesh.workloads[callee].port
        return {
            "do": "call",
            "target": f"{self.mesh.cluster_name(callee)}:{port}",
            "name": f"{callee}.{self.mesh.trust_domain}",
            "svid": identity,
            "rpc": rpc,
            "messages": [base64.b64encode(message).decode() for message in messages],
            "metadata": [list(pair) for pair in metadata],
            "timeout_seconds": 5,
        }

    def executed(self, workload: str) -> int:
        """How many calls the apps of a workload have begun to carry out: their logs say each."""
        count = 0
        for pod in self.pods(workload):
            name = pod["metadata"]["name"]
            log = self.kubectl("logs", "-n", self.mesh.namespace, name, "-c", "app")
            lines = [json.loads(line) for line in log.splitlines() if '"call"' in line]
            count += sum(line.get("event") == "call" for line in lines)
        return count

    @contextlib.contextmanager
    def nothing_runs_in(self, *workloads: str) -> Iterator[None]:
        """Fails when an app carried out a call meanwhile. Health checks are not logged."""
        before = {workload: self.executed(workload) for workload in workloads}
        yield
        assert {workload: self.executed(workload) for workload in workloads} == before

    @contextlib.contextmanager
    def pod(
        self,
        name: str,
        namespace: str,
        *,
        labels: Mapping[str, str] | None = None,
        service_account: str = "default",
        mesh_socket: bool = False,
    ) -> Iterator[Place]:
        """A pod of the tests' own that is allowed by Pod Security `restricted`."""
        manifest = pod_manifest(
            name,
            namespace,
            labels=labels,
            service_account=service_account,
            mesh_socket=mesh_socket,
        )
        self.kubectl("delete", "pod", "-n", namespace, name, "--ignore-not-found", "--wait")
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        try:
            self.kubectl(
                *("wait", "-n", namespace, f"pod/{name}", "--for=condition=Ready"),
                "--timeout=60s",
            )
            yield Place(namespace, name)
        finally:
            self.kubectl("delete", "pod", "-n", namespace, name, "--grace-period=1", "--wait")

    @staticmethod
    def until(condition: Callable[[], T], otherwise: str, timeout_seconds: float = 60.0) -> T:
        """Waits for a condition and returns what it returned."""
        deadline = time.monotonic() + timeout_seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.2)
        return found


def pod_manifest(
    name: str,
    namespace: str,
    *,
    labels: Mapping[str, str] | None = None,
    service_account: str = "default",
    mesh_socket: bool = False,
) -> dict[str, Any]:
    """A pod that does nothing until somebody runs Python in it."""
    mount = {"name": "spire", "mountPath": "/run/paymesh/spire-agent", "readOnly": True}
    volume = {"name": "spire", "csi": {"driver": "csi.spiffe.io", "readOnly": True}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels or {})},
        "spec": {
            "serviceAccountName": service_account,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65000,
                "runAsGroup": 65000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "app",
                    "image": _SERVICES_IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", "import signal; signal.pause()"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"memory": "256Mi"},
                    },
                    "volumeMounts": [mount] if mesh_socket else [],
                }
            ],
            "volumes": [volume] if mesh_socket else [],
        },
    }


def answer(said: Mapping[str, Any]) -> Answer:
    """The machine-readable part of what `inside` said of a call."""
    reason, decision = said["reason"], said["decision_id"]
    raw = base64.b64decode(said["details"])
    for detail in status_pb2.Status.FromString(raw).details if raw else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            reason = info.reason
            decision = info.metadata.get("decision_id", decision)
    return Answer(said["code"], reason, decision, said["message"])


def _pem(text: str) -> bytes:
    """The PEM blocks in what a program printed."""
    lines, inside = [], False
    for line in text.splitlines():
        inside = inside or line.startswith("-----BEGIN")
        if inside:
            lines.append(line)
        inside = inside and not line.startswith("-----END")
    return ("\n".join(lines) + "\n").encode()
