"""Logs hold no token, key or card number, whichever way a record comes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.logging import REDACTED, redact, redact_event

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
SECRETS = {
    "bearer": "authorization: Bearer abcdef.123456",
    "jwt": f"token was {JWT} today",
    "stripe": "key sk_live_abcdefgh12345678",
    "webhook": "secret whsec_abcdefgh12345678",
    "dsn": "host=/run password=hunter2hunter2 dbname=x",
    "quoted dsn": "host=/run password='hunter2 \\' hunter2' dbname=x",
    "url": "postgresql://ledger:hunter2hunter2@/ledger",
    "bank token": "public-sandbox-success-12345678",
    "row": "new row violates check\nDETAIL:  Failing row contains (alice, hotel, 31840).",
    "card": "paid with 4111 1111 1111 1111",
    "pem": "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----",
}
LEAKS = (
    "abcdef.123456",
    JWT,
    "abcdefgh12345678",
    "hunter2",
    "success-12345678",
    "4111",
    "MIGHAgEA",
    "alice, hotel",
)


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_redacted_in_text(name: str) -> None:
    """Each kind of secret is taken out of free text, and the text says so."""
    redacted = redact(SECRETS[name])
    assert not [leak for leak in LEAKS if leak in redacted]
    assert REDACTED in redacted


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_redacted_however_deep(name: str) -> None:
    """Values in mappings, lists, exceptions and keys are redacted like text."""
    secret = SECRETS[name]
    event = redact_event(
        None,
        "info",
        {
            "event": secret,
            "nested": {"list": [secret, (secret,)], secret: 1},
            "error": ValueError(secret),
        },
    )
    assert not [leak for leak in LEAKS if leak in json.dumps(event, default=repr)]


@pytest.mark.parametrize(
    "key",
    ["authorization", "Authorization", "password", "pdp_token", "api_key", "client_secret", "dsn"],
)
def test_values_under_telling_keys_are_redacted(key: str) -> None:
    """What stands under a key that says secret is redacted whatever it looks like."""
    assert redact_event(None, "info", {key: "plain words"}) == {key: REDACTED}


def test_numbers_that_pass_for_cards_are_redacted() -> None:
    """A card number is redacted as an integer too; other numbers stay numbers."""
    event = redact_event(None, "info", {"pan": 4111111111111111, "ms": 12, "ratio": 0.5})
    assert event == {"pan": REDACTED, "ms": 12, "ratio": 0.5}


def test_ids_made_by_machines_stay_whole() -> None:
    """Trace, decision and correlation ids are never redacted: a log without them is no use."""
    event = {"trace_id": "4111111111111111", "decision_id": "4111111111111111"}
    assert redact_event(None, "info", dict(event)) == event


def test_nothing_nests_without_end() -> None:
    """A structure that contains itself is cut off instead of recursing for ever."""
    loop: dict[str, object] = {}
    loop["again"] = loop
    assert REDACTED in json.dumps(redact_event(None, "info", {"loop": loop}))


@given(st.text(max_size=300))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    """Redaction never fails and is idempotent."""
    once = redact(text)
    assert redact(once) == once


def test_the_whole_process_logs_json_without_secrets() -> None:
    """structlog's, the standard library's and exceptions' lines are JSON objects, redacted."""
    code = """
import logging
from meshkit.logging import configure, get_logger
configure("info", "ledger")
secret = "Bearer abcdef.123456 card 4111 1111 1111 1111"
get_logger("mine").info("hello", detail=secret, trace_id="t")
get_logger("mine").debug("not shown")
logging.getLogger("theirs").warning("says %s", secret)
try:
    raise ValueError(secret)
except ValueError:
    get_logger("mine").exception("failed")
    logging.getLogger("theirs").exception("failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["info", "warning", "error", "error"]
    assert all(line["workload"] == "ledger" and line["timestamp"] for line in lines)
    assert "ValueError" in lines[2]["exception"]
    assert "ValueError" in lines[3]["exception"]
    assert "abcdef" not in done.stderr
    assert "4111" not in done.stderr
