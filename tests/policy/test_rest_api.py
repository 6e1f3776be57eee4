"""OPA's own REST API with the flags of a running mesh."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time
from pathlib import Path
from typing import Any

from paymesh.policy import publisher

from . import live

PDP_TOKEN = "pdp-token"
QUESTION = {
    "input": {
        "action": "accounts.read",
        "caller": "spiffe://paymesh.internal/ns/paymesh/sa/statements",
        "user": None,
        "object": {"tenant": "acme"},
    }
}


def test_the_rest_api_answers_its_owner_one_question(
    settings: publisher.Settings, pdp_config: dict[str, Any], start_pdp: live.StartPdp
) -> None:
    """With the flags of a running mesh: the object question, health and the status with the
    token, and nothing else for anybody.
    """
    asyncio.run(publisher.publish_once(settings))
    running = start_pdp(
        {**pdp_config, "status": {"prometheus": True, "trigger": "manual"}},
        "--authentication=token",
        "--authorization=basic",
        variables={"PAYMESH_PDP_TOKEN_SHA256": hashlib.sha256(PDP_TOKEN.encode()).hexdigest()},
    )
    path = "/v1/data/paymesh/objects/decision"
    end = time.monotonic() + 20
    while running.ask("/health", token=PDP_TOKEN)[0] != 200:
        assert time.monotonic() < end, running.log.read_text()
        time.sleep(0.05)
    status, answer = running.ask(path, QUESTION, token=PDP_TOKEN)
    assert (status, answer["result"]) == (200, {"allowed": True, "reason": "ALLOWED"})
    assert running.ask("/v1/status", token=PDP_TOKEN)[0] == 200
    for refused in (
        running.ask("/v1/status"),
        running.ask("/v1/status?pretty=true", token=PDP_TOKEN),
        running.ask(path, QUESTION),
        running.ask(path, QUESTION, token="another"),
        running.ask(path + "?explain=full", QUESTION, token=PDP_TOKEN),
        running.ask(path, token=PDP_TOKEN),
        running.ask(path + "/", QUESTION, token=PDP_TOKEN),
        running.ask("/v1/data/paymesh//objects/decision", QUESTION, token=PDP_TOKEN),
        running.ask("/v1/data/paymesh%2Fobjects/decision", QUESTION, token=PDP_TOKEN),
        running.ask("/v1/data/paymesh/authz/decision", {"input": live.GRANTED}, token=PDP_TOKEN),
        running.ask("/v1/data/paymesh/environment", {}, token=PDP_TOKEN),
        running.ask("/v1/policies", token=PDP_TOKEN),
        running.ask("/v1/config", token=PDP_TOKEN),
        running.ask("/v1/query", {"query": "data"}, token=PDP_TOKEN),
        running.ask("/metrics", token=PDP_TOKEN),
        running.ask("/health"),
        running.ask("/"),
    ):
        assert refused[0] == 401
        assert refused[1]["code"] == "unauthorized"


def test_the_kubelet_may_ask_on_a_port_of_its_own(
    settings: publisher.Settings,
    pdp_config: dict[str, Any],
    start_pdp: live.StartPdp,
    tmp_path: Path,
) -> None:
    """With a pod's flags: health and metrics without a token once a bundle is active, and nothing
    else there; the key of bundles comes from a file that the configuration does not hold.
    """
    (tmp_path / "bundle-key.pem").write_text(pdp_config["keys"]["paymesh-bundle"].pop("key"))
    running = start_pdp(
        pdp_config,
        "--authentication=token",
        "--authorization=basic",
        *("--diagnostic-addr", f"127.0.0.1:{(port := live.free_port())}"),
        *("--set-file", "keys.paymesh-bundle.key=bundle-key.pem"),
        variables={
            "PAYMESH_PDP_TOKEN_SHA256": hashlib.sha256(PDP_TOKEN.encode()).hexdigest(),
            "PAYMESH_PDP_DIAGNOSTICS": "open",
        },
    )
    door = live.Pdp(f"http://127.0.0.1:{port}", running.log)
    for path in ("/health", "/health?bundles", "/metrics"):
        assert door.ask(path)[0] == 500, "no bundle, nobody has decided"
    asyncio.run(publisher.publish_once(settings))
    end = time.monotonic() + 20
    while door.ask("/health?bundles")[0] != 200:
        assert time.monotonic() < end, running.log.read_text()
        time.sleep(0.05)
    assert door.ask("/health?plugins")[0] == 200
    assert b"go_goroutines" in _raw(port, "GET", "/metrics")
    path = "/v1/data/paymesh/objects/decision"
    assert door.ask(path, QUESTION)[0] == 401
    # With the token too: the port has no other API.
    assert b" 404 " in _raw(port, "POST", path)
    for other in ("/", "/v1/policies", "/v1/config", "/v1/status", "/health/live", "/debug/pprof"):
        assert door.ask(other)[0] == 401, other
    assert running.ask(path, QUESTION)[0] == 401
    assert running.ask(path, QUESTION, token=PDP_TOKEN)[0] == 200


def _raw(port: int, method: str, path: str) -> bytes:
    """The whole answer to a request with the token, to its end."""
    request = f"{method} {path} HTTP/1.0\r\nAuthorization: Bearer {PDP_TOKEN}\r\n"
    if method == "POST":
        request += "Content-Length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"{request}\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))
