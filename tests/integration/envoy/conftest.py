"""Three real Envoys with stand-ins for the apps and the policy decision points."""

from __future__ import annotations

import dataclasses
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy_authority import Authority, Issuer
from envoy_sidecars import ROOT, prepare, running
from envoy_stubs import App, Policy, allow, served

from paymesh.mesh import Mesh, load_mesh

_SIDECARS = ("ledger", "payments", "gateway")
_SERVICES = ("ledger", "payments")


@dataclasses.dataclass(frozen=True)
class Stage:
    """Everything that a test may look at or break."""

    mesh: Mesh
    authority: Authority
    issuer: Issuer
    homes: dict[str, Path]
    apps: dict[str, App]
    policies: dict[str, Policy]

    def outbound(self, workload: str, rpc: str, message: bytes = b"", **metadata: str) -> Answer:
        """A call by a workload's app through its own Envoy."""
        socket_path = self.homes[workload] / "outbound.sock"
        with grpc.insecure_channel(f"unix:{socket_path}") as channel:
            return call(channel, rpc, message, **metadata)


@dataclasses.dataclass(frozen=True)
class Answer:
    """The end of a call: status, its text, and the metadata that came with it."""

    code: grpc.StatusCode
    details: str
    metadata: dict[str, Any]

    @property
    def reason(self) -> str | None:
        """`x-paymesh-reason`."""
        return self.metadata.get("x-paymesh-reason")


def call(channel: grpc.Channel, rpc: str, message: bytes = b"", **metadata: str) -> Answer:
    """One unary call of bytes; underscores in metadata names become hyphens."""
    pairs = [(key.replace("_", "-"), value) for key, value in metadata.items()]
    method = channel.unary_unary(rpc, request_serializer=None, response_deserializer=None)
    try:
        _, finished = method.with_call(message, timeout=10, metadata=pairs)
    except grpc.RpcError as error:
        finished = error
    ended: dict[str, Any] = dict(finished.initial_metadata() or ())
    ended |= dict(finished.trailing_metadata() or ())
    return Answer(finished.code(), finished.details() or "", ended)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Running for a module; tests leave policies and apps as they found them."""
    mesh = load_mesh(ROOT, port_offset=free_offset())
    authority = Authority("test")
    issuer = Issuer(mesh.users.issuer, mesh.users.audience)
    with ExitStack() as stack:
        # Short: a socket's path has at most 107 bytes.
        run = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paymesh-envoy-")))
        homes = {}
        for name in _SIDECARS:
            svid = authority.svid(mesh.spiffe_id(name), f"{name}.{mesh.trust_domain}")
            homes[name] = prepare(run, mesh, name, authority, svid)
        issuer.write_jwks(homes["gateway"] / "jwks.json")
        apps = {name: App() for name in _SERVICES}
        policies = {name: Policy() for name in _SERVICES}
        for name in _SERVICES:
            stack.enter_context(served(apps[name], homes[name] / "app.sock"))
            stack.enter_context(served(policies[name], homes[name] / "authz.sock"))
        for home in homes.values():
            stack.enter_context(running(home))
        yield Stage(mesh, authority, issuer, homes, apps, policies)
        for policy in policies.values():
            policy.release()


@pytest.fixture
def clean(stage: Stage) -> Stage:
    """The stage with policies that allow and apps that remember nothing."""
    for policy in stage.policies.values():
        policy.answer, policy.hung = allow(), False
        policy.checks.clear()
    for app in stage.apps.values():
        app.calls.clear()
    return stage


def free_offset() -> int:
    """An offset with which every port of the mesh is free now."""
    for offset in range(5000, 30000, 97):
        mesh = load_mesh(ROOT, port_offset=offset)
        ports = [w.port for w in mesh.sidecars() if w.port is not None]
        if all(_is_free(mesh.address, port) for port in ports):
            return offset
    raise AssertionError("no free ports")


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
