"""OPA's own REST API with the flags of a running mesh."""

from __future__ import annotations

import asyncio
import hashlib
import time
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
    """With the flags of a running mesh: the object question and health with the token, and
    nothing else for anybody.
    """
    asyncio.run(publisher.publish_once(settings))
    running = start_pdp(
        pdp_config,
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
    for refused in (
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
