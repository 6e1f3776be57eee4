"""OPA's own decision log, for where its official image stands in for our decision point."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from paymesh.policy import publisher

from . import live

SECRET = "s3cr3t"
CARD = "4111111111111111"
PAYMENT = "/paymesh.payments.v1.PaymentsService/CreatePayment"
OBJECT_QUESTION = {
    "action": "payments.read",
    "caller": "spiffe://paymesh.internal/ns/paymesh/sa/gateway",
    "user": {"sub": "alice", "tenant": "acme", "roles": ["customer"]},
    "object": {"tenant": "acme", "owner": "alice"},
}


def _question(headers: dict[str, str], body: Any, query: str = "") -> dict[str, Any]:
    found = live.document("gateway", PAYMENT + query)
    http = found["attributes"]["request"]["http"]
    http["headers"] |= {"authorization": f"Bearer {SECRET}", **headers}
    http["body"] = http["rawBody"] = SECRET
    return found | {"parsed_body": body, "parsed_query": {"token": [query and SECRET]}}


QUESTIONS = (
    _question({}, {"paymentMethodToken": SECRET, "amount": {"currencyCode": "EUR"}}),
    _question({"cookie": SECRET, "x-api-key": SECRET}, {"description": CARD, "legalEntity": CARD}),
    # What OPA's mask cannot address: a slash, a tilde, a percent sign, a space.
    *(_question({name: SECRET}, {name: CARD}) for name in ("a/b", "a~b", "%zz", "a b", "%41")),
    # Of a list OPA moves the others up when it erases one.
    _question({}, {"legs": [{"accountId": CARD}, {"accountId": CARD}, {"accountId": CARD}]}),
    _question({}, {"legs": [CARD, CARD, CARD]}),
    _question({}, CARD),
    _question({}, [CARD]),
    _question({}, {}, query=f"?token={SECRET}"),
)


def test_no_secret_is_in_opas_own_log_and_no_record_is_lost(
    settings: publisher.Settings, pdp_config: dict[str, Any], start_pdp: live.StartPdp
) -> None:
    """Without our decision log, OPA's has a record of each decision, without what ours would
    erase; the question about an object it has whole.
    """
    asyncio.run(publisher.publish_once(settings))
    running = start_pdp({**pdp_config, "decision_logs": {"console": True}}, "--log-format", "json")
    running.wait_for(live.GRANTED, "ALLOWED", 20)
    before = len(_events(running))
    for question in QUESTIONS:
        assert running.reason(question) is not None
    status, _ = running.ask("/v1/data/paymesh/objects/decision", {"input": OBJECT_QUESTION})
    assert status == 200
    end = time.monotonic() + 10
    while len(found := _events(running)[before:]) < len(QUESTIONS) + 1:
        assert time.monotonic() < end, running.log.read_text()[-2000:]
        time.sleep(0.02)
    text = running.log.read_text()
    assert SECRET not in text
    assert CARD not in text
    assert [event["path"] for event in found] == [
        *["paymesh/authz/decision"] * len(QUESTIONS),
        "paymesh/objects/decision",
    ]
    assert found[0]["input"]["attributes"]["source"] == QUESTIONS[0]["attributes"]["source"]
    assert found[0]["input"]["parsed_body"]["amount"] == {"currencyCode": "EUR"}
    assert found[-1]["input"] == OBJECT_QUESTION


def _events(running: live.Pdp) -> list[dict[str, Any]]:
    text = running.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("type") == "openpolicyagent.org/decision_logs"]
