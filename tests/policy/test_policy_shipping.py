"""Decisions of a real decision point arrive at a real receiver, whatever happens on the way."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

from paymesh.mesh import Mesh
from paymesh.policy import condition, publisher
from paymesh.render.pdp import Receiver, Surroundings, configuration
from paymesh.runtime import pki

from . import live

pytestmark = pytest.mark.skipif(
    "PAYMESH_PDP" in os.environ, reason="OPA's own program does not ship our log"
)

WAIT_SECONDS = 30.0
_TOKEN = "ship-token"
_SMALL_FILE_BYTES = 20_000


class Collector(http.server.ThreadingHTTPServer):
    """Takes OTLP or lines of JSON.

    Attributes:
        bodies: what arrived, decoded to one mapping a record, also when it was refused.
        status: of the next answers.
        refused: how many requests got another answer than 200.
        held: while clear, nobody is answered.
        asked: set when somebody waits for an answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.status = 200
        self.refused = 0
        self.held = threading.Event()
        self.held.set()
        self.asked = threading.Event()

    def ids(self) -> list[str]:
        """Of the decisions that arrived, each once, in the order of their first arrival."""
        return list(dict.fromkeys(record["decision_id"] for record in self.taken))


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        """One batch."""
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        collector = self.server
        collector.requests.append((self.path, dict(self.headers)))
        records = _decoded(self.headers["Content-Type"], body)
        if collector.status == 200:
            collector.taken += records
        else:
            collector.refused += 1
        status = collector.status
        collector.asked.set()
        collector.held.wait(WAIT_SECONDS)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — inherited
        """Nothing on standard error."""


def _decoded(content_type: str, body: bytes) -> list[dict[str, Any]]:
    if content_type == "application/x-ndjson":
        return [{**json.loads(line), "line": line.decode()} for line in body.splitlines()]
    message = logs_service_pb2.ExportLogsServiceRequest.FromString(body)
    (resource,) = message.resource_logs
    (service,) = resource.resource.attributes
    return [
        {
            **{a.key: getattr(a.value, a.value.WhichOneof("value")) for a in record.attributes},
            "line": record.body.string_value,
            "severity": record.severity_text,
            "time_ns": record.time_unix_nano,
            "service": service.value.string_value,
        }
        for record in resource.scope_logs[0].log_records
    ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Listening."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.held.set()
        server.shutdown()
        thread.join()


def _shipping(config: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The configuration with a log of small files that is shipped often."""
    log = {"path": "decisions.jsonl", "revision_file": "revision", "max_bytes": _SMALL_FILE_BYTES}
    return {
        **config,
        "status": {"prometheus": True, "trigger": "manual"},
        "decision_logs": {"plugin": "paymesh_decision_log"},
        "plugins": {
            "paymesh_decision_log": log,
            "paymesh_decision_shipping": {
                "log": "decisions.jsonl",
                "cursor": "cursor",
                "max_delay_milliseconds": 50,
                "max_batch_records": 8,
                **settings,
            },
        },
    }


def _logged(directory: Path) -> list[str]:
    """The lines of the log, rotated files first; those that are no JSON are left out."""
    lines = []
    for path in (*sorted(directory.glob("decisions.jsonl.2*")), directory / "decisions.jsonl"):
        for line in path.read_text().splitlines():
            try:
                json.loads(line)
            except ValueError:
                continue
            lines.append(line)
    return lines


def _wait(what: str, is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < end, f"no {what} within {WAIT_SECONDS} s"
        time.sleep(0.02)


def test_kills_rotations_and_outages_lose_nothing(
    settings: publisher.Settings,
    pdp_config: dict[str, Any],
    collector: Collector,
    pdp: Path,
    tmp_path: Path,
) -> None:
    """Killed while the receiver has a batch and has not answered, three times, with a receiver
    that is out of order in between: every decision arrives, first arrivals in the log's order.
    """
    asyncio.run(publisher.publish_once(settings))
    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/logs"
    config = _shipping(pdp_config, {"endpoint": endpoint, "service_name": "ledger-pdp"})
    for round_number in range(3):
        running, process = live.start(pdp, tmp_path, live.free_port(), config)
        try:
            running.wait_for(live.GRANTED, "ALLOWED", WAIT_SECONDS)
            collector.status = 503
            before = collector.refused
            for _ in range(30):
                running.reason(live.GRANTED)
                running.reason(live.UNGRANTED)
            _wait("attempt that is refused", lambda before=before: collector.refused > before)
            collector.asked.clear()
            collector.held.clear()
            collector.status = 200
            assert collector.asked.wait(WAIT_SECONDS), round_number
        finally:
            process.kill()
            process.wait()
            collector.held.set()
    running, process = live.start(pdp, tmp_path, live.free_port(), config)
    try:
        _wait("arrival of the rest", lambda: len(collector.ids()) == len(_logged(tmp_path)))
    finally:
        live.stop(process)
    logged = _logged(tmp_path)
    assert len(logged) >= 180
    assert len(list(tmp_path.glob("decisions.jsonl.2*"))) >= 3
    assert collector.ids() == [json.loads(line)["decision_id"] for line in logged]
    # What was answered after the kill came again.
    assert len(collector.taken) > len(logged)
    by_id = {record["decision_id"]: record for record in collector.taken}
    for line in logged:
        record, found = json.loads(line), by_id[json.loads(line)["decision_id"]]
        assert found["line"] == line
        assert found["severity"] == ("INFO" if record["allowed"] else "WARN")
        for name in ("caller", "rpc", "reason", "allowed", "revision"):
            assert found[name] == record[name]
    assert {record["service"] for record in collector.taken} == {"ledger-pdp"}


def test_lines_of_json_over_tls_with_a_token(
    settings: publisher.Settings,
    pdp_config: dict[str, Any],
    collector: Collector,
    start_pdp: live.StartPdp,
    tmp_path: Path,
) -> None:
    """The receiver's authority is the one that was named; the token is sent, and is in no log."""
    asyncio.run(publisher.publish_once(settings))
    authority = pki.ensure_authority(tmp_path, "receiver")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    pki.ensure_leaf(authority, certificate, key, common_name="receiver", names=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    collector.socket = context.wrap_socket(collector.socket, server_side=True)
    (tmp_path / "token").write_text(f"{_TOKEN}\n")
    shipping = {
        "endpoint": f"https://127.0.0.1:{collector.server_port}/decisions?index=a",
        "format": "ndjson",
        "token_file": "token",
        "ca_file": "receiver.crt",
    }
    running = start_pdp(_shipping(pdp_config, shipping))
    running.wait_for(live.GRANTED, "ALLOWED", WAIT_SECONDS)
    _wait(
        "arrival", lambda: collector.ids() != [] and len(collector.ids()) == len(_logged(tmp_path))
    )
    assert [record["line"] for record in collector.taken] == _logged(tmp_path)
    path, headers = collector.requests[0]
    assert path == "/decisions?index=a"
    assert headers["Authorization"] == f"Bearer {_TOKEN}"
    assert _TOKEN not in running.log.read_text()


def test_a_receiver_that_is_away_is_named_and_nothing_waits_for_it(
    settings: publisher.Settings, pdp_config: dict[str, Any], start_pdp: live.StartPdp
) -> None:
    """Decisions are given, the decision point is healthy, and its status says what is wrong."""
    asyncio.run(publisher.publish_once(settings))
    endpoint = f"http://127.0.0.1:{live.free_port()}/v1/logs"
    running = start_pdp(_shipping(pdp_config, {"endpoint": endpoint}))
    running.wait_for(live.GRANTED, "ALLOWED", WAIT_SECONDS)

    def look() -> condition.Condition:
        return condition.read(running.ask(condition.TARGET)[1])

    def note() -> str:
        return look().notes.get(condition.SHIPPING, "")

    _wait("note", lambda: "connection refused" in note())
    assert note().startswith("decisions are not shipped since ")
    assert note().endswith(" bytes wait")
    _wait("health", lambda: not look().faults)
    assert running.ask("/health?plugins&bundles")[0] == 200
    assert running.reason(live.GRANTED) == "ALLOWED"


def test_the_decision_point_takes_what_is_rendered(
    mesh: Mesh, collector: Collector, start_pdp: live.StartPdp
) -> None:
    """Each setting that the renderer writes is one that the program knows."""
    workload = mesh.services()[0]
    receiver = Receiver(
        endpoint=f"http://127.0.0.1:{collector.server_port}/", format="ndjson", service_name="a"
    )
    around = Surroundings(bundle_server="http://127.0.0.1:1", receiver=receiver)
    section = configuration(mesh, workload, around)["plugins"]["paymesh_decision_shipping"]
    assert section == {
        "log": "decisions.jsonl",
        "cursor": "shipping.json",
        "endpoint": receiver.endpoint,
        "format": "ndjson",
        "service_name": "a",
    }
    start_pdp({"plugins": {"paymesh_decision_shipping": section}})
