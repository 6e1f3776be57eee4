"""With an endpoint set, Envoy takes part in a trace; the trace goes on through it."""

from __future__ import annotations

import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import grpc
import yaml
from conftest import call, free_offset
from envoy_authority import Authority
from envoy_sidecars import ROOT, prepare, running
from envoy_stubs import App, Policy, served

from paymesh.mesh import load_mesh
from paymesh.render import with_tracing

POST = "/paymesh.ledger.v1.LedgerService/PostTransfer"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"


def test_spans_of_both_envoys_join_the_callers_trace(tmp_path: Path) -> None:
    """Both Envoys export spans of the caller's trace, and the app sees the last one's id."""
    mesh = load_mesh(ROOT, port_offset=free_offset())
    authority, app, collector = Authority("test"), App(), App()
    with ExitStack() as stack:
        run = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paymesh-trace-")))
        stack.enter_context(served(collector, tmp_path / "unused.sock", port := _free_port()))
        homes = {}
        for name in ("ledger", "payments"):
            svid = authority.svid(mesh.spiffe_id(name), f"{name}.{mesh.trust_domain}")
            home = homes[name] = prepare(run, mesh, name, authority, svid)
            config = yaml.safe_load((home / "envoy.yaml").read_text(encoding="utf-8"))
            traced = with_tracing(config, f"http://127.0.0.1:{port}")
            (home / "envoy.yaml").write_text(yaml.safe_dump(traced), encoding="utf-8")
        stack.enter_context(served(app, homes["ledger"] / "app.sock"))
        stack.enter_context(served(Policy(), homes["ledger"] / "authz.sock"))
        for home in homes.values():
            stack.enter_context(running(home))
        with grpc.insecure_channel(f"unix:{homes['payments']}/outbound.sock") as channel:
            answer = call(channel, POST, traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01")
        assert answer.code == grpc.StatusCode.OK
        exported = _exported(collector)
    version, trace_id, parent_id, flags = app.calls[-1].metadata["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE_ID, "01")
    assert parent_id != PARENT_ID
    assert bytes.fromhex(TRACE_ID) in exported
    assert b"payments-envoy" in exported
    assert b"ledger-envoy" in exported
    assert bytes.fromhex(parent_id) in exported


def _exported(collector: App) -> bytes:
    """All that was exported, once both Envoys have; they flush every few seconds."""
    deadline = time.monotonic() + 15
    content = b""
    while time.monotonic() < deadline:
        content = b"".join(c.message for c in collector.calls)
        if b"payments-envoy" in content and b"ledger-envoy" in content:
            break
        time.sleep(0.1)
    return content


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
