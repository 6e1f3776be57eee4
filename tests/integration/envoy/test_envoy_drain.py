"""A pod's Envoy is told to drain: callers leave, and nobody is refused meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from conftest import call, free_offset
from envoy_authority import Authority
from envoy_peer import Peer
from envoy_pods import prepare_pod, probed
from envoy_sidecars import ROOT, running
from envoy_stubs import App, Policy, served

from meshkit import drain
from meshkit.config import Draining
from paymesh.mesh import Mesh, load_mesh

POST = "/paymesh.ledger.v1.LedgerService/PostTransfer"


class SlowApp(App):
    """Answers when it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """As App, but PostTransfer waits."""
        if details.method != POST:
            return super().service(details)

        def handle(_message: bytes, _context: grpc.ServicerContext) -> bytes:
            self.entered.set()
            self.released.wait(10)
            return b""

        return grpc.unary_unary_rpc_method_handler(handle)


@dataclasses.dataclass(frozen=True)
class Pods:
    """Ledger's and payments' Envoys as in pods, and what ledger's is served by."""

    mesh: Mesh
    run: Path
    authority: Authority
    homes: dict[str, Path]
    probes: dict[str, int]
    app: SlowApp

    def peer(self) -> Peer:
        """A connection as from payments' Envoy."""
        svid = self.authority.svid(self.mesh.spiffe_id("payments"), "payments")
        return Peer(self.run, self.mesh.workloads["ledger"].port or 0, self.authority, svid)

    def drain(self) -> None:
        """What an ending service does, without the time that it waits."""
        asyncio.run(drain.drain(Draining(self.homes["ledger"] / "admin.sock", 0)))

    def recover(self) -> None:
        """What a service does that starts again beside the same Envoy."""
        asyncio.run(drain.recover(Draining(self.homes["ledger"] / "admin.sock", 0)))


@pytest.fixture
def pods() -> Iterator[Pods]:
    """Running, with ledger at two addresses for payments, nobody at the first."""
    mesh, authority = load_mesh(ROOT, port_offset=free_offset()), Authority("drain")
    app = SlowApp()
    app.answer = b"\x08\x01"  # SERVING, when asked for health
    with ExitStack() as stack:
        run = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paymesh-drain-")))
        homes, probes = {}, {}
        for name in ("ledger", "payments"):
            svid = authority.svid(mesh.spiffe_id(name), f"{name}.{mesh.trust_domain}")
            homes[name], probes[name] = prepare_pod(run, mesh, name, authority, svid)
        _add_dead_endpoint(homes["payments"] / "envoy.yaml")
        stack.enter_context(served(app, homes["ledger"] / "app.sock"))
        stack.enter_context(served(Policy(), homes["ledger"] / "authz.sock"))
        for home in homes.values():
            stack.enter_context(running(home))
        yield Pods(mesh, run, authority, homes, probes, app)
        app.released.set()


def _add_dead_endpoint(path: Path) -> None:
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    clusters = {found["name"]: found for found in config["static_resources"]["clusters"]}
    hosts = clusters["ledger"]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    dead: dict[str, Any] = {"endpoint": {"address": {"socket_address": {}}}}
    # Port 1 of the loopback: refused at once, as of a pod that is gone.
    dead["endpoint"]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 1}
    hosts.insert(0, dead)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")


def test_drain_answers_everybody_and_sends_them_elsewhere(pods: Pods) -> None:
    """Calls under way, on old and on new connections are answered; each then hears GOAWAY."""
    with pods.peer() as busy, pods.peer() as waiting:
        pods.app.released.set()
        assert busy.answer(busy.ask(POST)) == "200"
        assert not busy.going_away
        pods.app.released.clear()
        pods.app.entered.clear()
        under_way = waiting.ask(POST)
        assert pods.app.entered.wait(10)
        pods.drain()
        assert probed(pods.probes["ledger"], "/ready") == 503
        assert drain.under_way(pods.homes["ledger"] / "admin.sock") == 1
        pods.app.released.set()
        assert waiting.answer(under_way) == "200"
        assert waiting.going_away
        assert busy.answer(busy.ask(POST)) == "200"
        assert busy.going_away
        with pods.peer() as new:
            assert new.answer(new.ask(POST)) == "200"
            assert new.going_away
        pods.recover()
        with pods.peer() as after:
            assert after.answer(after.ask(POST)) == "200"
            assert not after.going_away


def test_no_call_is_lost_over_a_drain(pods: Pods) -> None:
    """Callers' Envoys move on without one failed call, and past an endpoint that is gone."""
    pods.app.released.set()
    outbound = f"unix:{pods.homes['payments']}/outbound.sock"
    with grpc.insecure_channel(outbound) as channel, ThreadPoolExecutor(8) as threads:

        def burst() -> set[grpc.StatusCode]:
            answers = threads.map(lambda _: call(channel, POST), range(60))
            return {answer.code for answer in answers}

        assert burst() == {grpc.StatusCode.OK}
        pods.drain()
        assert burst() == {grpc.StatusCode.OK}
        pods.recover()
        assert burst() == {grpc.StatusCode.OK}
