"""What a decision point says of itself, read as `paymesh check` reads it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.policy import bundle, condition, publisher
from paymesh.policy.condition import Condition

from . import live

_FUTURE, _PAST = "1999999999999-0123456789ab", "1000000000000-0123456789ab"
_GOOD = {"paymesh/a.rego": b"package paymesh.a\n\nx := 1\n"}
_BROKEN = {"paymesh/a.rego": b"package paymesh.a\n\nx := \n"}


@pytest.fixture
def wait(start_pdp: live.StartPdp, pdp_config: dict[str, Any]) -> Callable[..., Condition]:
    """A decision point whose log is full; returns its condition once it is as wanted."""
    log = {"path": "/dev/full", "revision_file": "revision"}
    running = start_pdp(
        pdp_config
        | {
            "status": {"prometheus": True, "trigger": "manual"},
            "decision_logs": {"plugin": condition.DECISION_LOG},
            "plugins": {condition.DECISION_LOG: log},
        }
    )

    def until(wanted: Callable[[Condition], object]) -> Condition:
        running.ask("/v1/data/paymesh/objects/decision", {"input": {}})
        end = time.monotonic() + 20
        while True:
            status, answer = running.ask(condition.TARGET)
            found = condition.read(answer)
            if status == 200 and wanted(found):
                return found
            assert time.monotonic() < end, (found, running.log.read_text()[-2000:])
            time.sleep(0.05)

    return until


def test_it_says_what_it_enforces_and_why_it_cannot_record(
    settings: publisher.Settings, wait: Callable[..., Condition]
) -> None:
    """The revision of the published bundle; of a full disk, the kernel's words."""
    asyncio.run(publisher.publish_once(settings))
    found = wait(lambda found: found.revision and found.unrecorded)
    assert found.refused is None
    assert set(found.faults) == {condition.DECISION_LOG}
    assert found.unrecorded == "write /dev/full: no space left on device"
    assert condition.is_full(found.unrecorded)


def test_it_says_why_it_does_not_take_a_bundle(
    settings: publisher.Settings,
    wait: Callable[..., Condition],
    bundle_key: ec.EllipticCurvePrivateKey,
) -> None:
    """Not signed, older, broken or garbage: each has its words; the policy before stays."""
    asyncio.run(publisher.publish_once(settings))
    revision = wait(lambda found: found.revision).revision
    stranger = ec.generate_private_key(ec.SECP256R1())
    served: Path = settings.directory / bundle.FILE_NAME
    for content, words in (
        (bundle.build(_GOOD, _FUTURE, stranger).data, "failed to verify JWT signature"),
        (bundle.build(_GOOD, _PAST, bundle_key).data, f"older than one already activated: {_PAST}"),
        (bundle.build(_BROKEN, _FUTURE, bundle_key).data, "paymesh/a.rego:4: unexpected eof token"),
        (b"garbage", "archive read failed"),
    ):
        served.write_bytes(content)
        found = wait(lambda found, words=words: words in (found.refused or ""))
        assert found.revision == revision


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        {"result": None},
        {"result": {"bundles": None, "plugins": None}},
        {"result": {"bundles": {"paymesh": {"active_revision": "", "code": ""}}}},
        {"result": {"bundles": {"paymesh": None}, "plugins": {}}},
    ],
)
def test_an_answer_of_another_form_says_nothing(found: Any) -> None:
    """Whatever answers at the port, reading it does not end the command."""
    assert condition.read(found) == Condition(None)


def test_words_from_elsewhere_are_one_short_line() -> None:
    """What is not our own text cannot fill the screen, and a state without words is named."""
    found = condition.read(
        {
            "result": {
                "bundles": {
                    "paymesh": {"code": "e", "message": "a\nb" * 9999, "errors": [{"message": 1}]}
                },
                "plugins": {"a": {"state": "NOT_READY"}, "b": None, "c": {"state": "OK"}},
            }
        }
    )
    assert found.refused is not None
    assert "\n" not in found.refused
    assert len(found.refused) <= 400
    assert found.faults == {"a": "NOT_READY", "b": "no state"}
