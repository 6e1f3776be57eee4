"""The running mesh as the tests see it: callers of every kind, and proof of what ran."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import grpc

from paymesh import dial, users
from paymesh.calls import Catalogue, Metadata, Reply
from paymesh.cli.lifecycle import bring_down, bring_up
from paymesh.grants import Grants, load_grants
from paymesh.mesh import Mesh, load_mesh
from paymesh.paths import Paths, default_paths

TENANT = "acme"
T = TypeVar("T")


@dataclasses.dataclass
class World:
    """A mesh that is up."""

    paths: Paths
    mesh: Mesh
    grants: Grants
    catalogue: Catalogue
    _svids: dict[str, dial.Svid] = dataclasses.field(default_factory=dict)

    @classmethod
    def start(cls) -> World:
        """Brings it up under PAYMESH_HOME."""
        paths, mesh = default_paths(), load_mesh()
        bring_up(paths, mesh, quiet=True)
        return cls(paths, mesh, load_grants(), Catalogue.load())

    def stop(self) -> None:
        """Stops everything; the home is the fixture's to remove."""
        bring_down(self.paths, quiet=True)

    def svid(self, workload: str) -> dial.Svid:
        """The SVID of a workload, as a process of its own would get it."""
        if workload not in self._svids:
            self._svids[workload] = dial.fetch_svid(self.paths, self.mesh, workload)
        return self._svids[workload]

    def token(self, user: str, **changed: Any) -> Metadata:
        """The header with a user's token; `changed` replaces claims, None removes one."""
        claims = users.claims(self.mesh, users.find(self.mesh, user))
        claims.update(changed)
        claims = {key: value for key, value in claims.items() if value is not None}
        return (("authorization", f"Bearer {users.sign(self.paths, claims)}"),)

    def as_user(
        self, user: str, rpc: str, request: Mapping[str, Any] | None = None, **options: Any
    ) -> Reply:
        """Through the gateway."""
        with dial.gateway(self.paths, self.mesh) as channel:
            return self.send(channel, rpc, request, metadata=self.token(user), **options)

    def through_sidecar(
        self,
        workload: str,
        rpc: str,
        request: Mapping[str, Any] | None = None,
        metadata: Metadata = (),
    ) -> Reply:
        """From the workload's own network position."""
        service = self.catalogue.method(rpc).containing_service.full_name
        with dial.workload(self.paths, self.mesh, workload, service) as channel:
            return self.send(channel, rpc, request, metadata=metadata)

    def straight(
        self,
        workload: str,
        callee: str,
        rpc: str,
        request: Mapping[str, Any] | None = None,
        metadata: Metadata = (),
    ) -> Reply:
        """With the workload's SVID at the callee's Envoy, past its own sidecar."""
        with dial.direct(self.mesh, callee, self.svid(workload)) as channel:
            return self.send(channel, rpc, request, metadata=metadata)

    def send(
        self,
        channel: grpc.Channel,
        rpc: str,
        request: Mapping[str, Any] | None = None,
        metadata: Metadata = (),
        timeout_seconds: float = 10.0,
    ) -> Reply:
        """On any channel."""
        return self.catalogue.send(
            channel, rpc, request, metadata=metadata, timeout_seconds=timeout_seconds
        )

    def raw(
        self,
        channel: grpc.Channel,
        path: str,
        body: bytes = b"",
        metadata: Metadata = (),
        timeout_seconds: float = 10.0,
    ) -> str:
        """Sends bytes to any path; the status name."""
        call = channel.unary_unary(path)
        try:
            call(body, timeout=timeout_seconds, metadata=list(metadata))
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    def executed(self, workload: str) -> int:
        """How many calls the app itself has begun to carry out: its own log says each.

        The log reaches its file a moment later, so a mark is put behind everything
        that is under way: a call past the sidecar, which the app refuses and logs.
        """
        log = self.paths.log(f"{workload}-app")
        marks = _count(log)[1]
        service = self.mesh.workloads[workload].rpc_service
        assert service is not None
        method = next(iter(self.catalogue.service(service).methods)).name
        socket = self.paths.workload(workload) / "app.sock"
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            assert self.raw(channel, f"/{service}/{method}") == "INTERNAL"
        deadline = time.monotonic() + 10
        while (found := _count(log))[1] <= marks:
            assert time.monotonic() < deadline, f"{workload} does not log its calls"
            time.sleep(0.01)
        return found[0]

    @contextlib.contextmanager
    def nothing_runs_in(self, workload: str) -> Iterator[None]:
        """Fails when the app began to carry out any call meanwhile."""
        before = self.executed(workload)
        yield
        after = self.executed(workload)
        assert after == before, f"{workload} carried out {after - before} call(s)"

    def account(self, currency: str = "EUR", user: str = "olivia", tenant: str = TENANT) -> str:
        """A merchant account, the same one each time."""
        request_id = uuid.uuid5(uuid.NAMESPACE_URL, f"test/{tenant}/{currency}")
        reply = self.as_user(
            user,
            "ledger/OpenAccount",
            {
                "request_id": str(request_id),
                "legal_entity": tenant,
                "kind": "ACCOUNT_KIND_MERCHANT",
                "currency_code": currency,
            },
        )
        assert reply.ok, reply
        return str(reply.body["account"]["account_id"])

    @staticmethod
    def until(condition: Callable[[], T], otherwise: str, timeout_seconds: float = 15.0) -> T:
        """Waits for a condition and returns what it returned."""
        deadline = time.monotonic() + timeout_seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.05)
        return found

    def until_answered(
        self, user: str, rpc: str, request: Mapping[str, Any], timeout_seconds: float = 60.0
    ) -> Reply:
        """What a client with a key does: asks again while told to, until there is an answer."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            reply = self.as_user(user, rpc, request)
            if reply.code not in {"ABORTED", "UNAVAILABLE"} or time.monotonic() > deadline:
                return reply
            time.sleep(min(reply.retry_after_seconds or 0.2, 1.0))


def _count(log: Path) -> tuple[int, int]:
    """Calls that came through the sidecar, and marks."""
    whole, _, _ = log.read_bytes().rpartition(b"\n")  # the last line may be under way
    lines = [json.loads(line) for line in whole.splitlines() if b'"call"' in line]
    calls = [line for line in lines if line.get("event") == "call"]
    marks = sum(line.get("reason") == "NOT_THROUGH_SIDECAR" for line in calls)
    return len(calls) - marks, marks
