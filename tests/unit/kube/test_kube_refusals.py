"""Words of libraries and API servers, cut down to what says something."""

from __future__ import annotations

import pytest

from paymesh.kube import refusals
from paymesh.kube.errors import Conflict

_HANDSHAKE = (
    "(0)\nReason: Handshake status 400 Bad Request -+-+- {'date': 'x'} -+-+- "
    'b\'{"kind":"Status","message":"container nope is not valid for pod \\\\"p\\\\"","code":400}\''
)


def test_a_streams_refusal_is_the_api_servers_message() -> None:
    """Not the headers that came with it."""
    found = refusals.of_stream(RuntimeError(_HANDSHAKE))
    assert found.startswith("container nope is not valid for pod")
    assert "Handshake" not in found
    assert refusals.of_stream(RuntimeError("no such host")) == "no such host"


def test_the_innermost_reason_is_the_one() -> None:
    """Libraries wrap what the system said."""
    outer = RuntimeError("outer")
    outer.reason = OSError("connection refused")  # type: ignore[attr-defined]
    assert refusals.in_short(outer) == "connection refused"


@pytest.mark.parametrize(
    ("causes", "ours"),
    [
        (('conflict with "paymesh" using v1: .data',), True),
        (('conflict with "kubectl" using v1: .data',), False),
        (('conflict with "paymesh": .a', 'conflict with "kubectl": .b'), False),
        (('conflict with "paymesh-else": .a',), False),
        ((), False),
    ],
)
def test_only_our_own_manager_is_us(causes: tuple[str, ...], *, ours: bool) -> None:
    """One field of somebody else's is enough to stop."""
    found = refusals.is_conflict_of(Conflict("x", causes), frozenset({"paymesh"}))
    assert found is ours


def test_a_conflict_says_who_and_what_to_do() -> None:
    """Long lists are cut."""
    causes = tuple(f'conflict with "kubectl": .spec.f{n}' for n in range(9))
    text = str(refusals.conflict(Conflict("x", causes), "Deployment paymesh/ledger"))
    assert "Deployment paymesh/ledger" in text
    assert "and 5 more" in text
    assert "--take-over" in text


def test_what_is_no_status_is_shown_in_part() -> None:
    """A proxy between may answer anything."""
    error = refusals.error(502, b"<html>" + b"x" * 5000, "get Pod p", "one")
    assert len(str(error)) < 800
    assert "502" in str(error)
