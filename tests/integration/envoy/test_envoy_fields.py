"""Fields that gRPC's own server cannot parse: they are one caller's affair and nobody else's."""

from __future__ import annotations

import grpc
import pytest
from conftest import Stage

from paymesh.attack import wire

POST = "/paymesh.ledger.v1.LedgerService/PostTransfer"


def _send(stage: Stage, *fields: wire.Field) -> wire.Reply:
    """From the app of payments through its own Envoy, byte for byte."""
    socket = wire.Unix(stage.homes["payments"] / "outbound.sock")
    asked = wire.grpc_headers(POST, "payments", scheme="http", extra=fields)
    with wire.connect(socket) as connection:
        return wire.Http2(connection).exchange(wire.Request(asked, wire.message(b"")))


def _calls(stage: Stage) -> int:
    return sum(seen.method == POST for seen in stage.apps["ledger"].calls)


@pytest.mark.parametrize("value", [b"-1S", b"", b"1", b"S", b"1s", b"123456789S", b"1S, 2S"])
def test_a_malformed_deadline_is_refused_and_harms_nobody(clean: Stage, value: bytes) -> None:
    """The app never hears of the call, and other callers' deadlines are understood after it."""
    reply = _send(clean, (b"grpc-timeout", value))
    assert (reply.grpc_status, reply.reason) == (3, "MALFORMED_REQUEST")
    assert _calls(clean) == 0
    for _ in range(3):
        assert clean.outbound("payments", POST).code == grpc.StatusCode.OK
    assert _calls(clean) == 3


@pytest.mark.parametrize("value", [b"5S", b"99999999n", b"1M", b"5000m"])
def test_a_deadline_arrives(clean: Stage, value: bytes) -> None:
    """What is well formed is the caller's to say."""
    assert _send(clean, (b"grpc-timeout", value)).grpc_status == 0
    assert _calls(clean) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"grpc-status", b"x"),
        (b"grpc-message", b"%"),
        (b"grpc-previous-rpc-attempts", b"x"),
        (b"grpc-retry-pushback-ms", b"x"),
        (b"grpc-internal-encoding-request", b"x"),
        (b"grpc-tags-bin", b"!"),
        (b"grpc-trace-bin", b"!"),
        (b"x-anything-bin", b"!"),
    ],
)
def test_what_is_not_a_callers_to_say_is_left_out(clean: Stage, name: bytes, value: bytes) -> None:
    """The call goes on without a server's fields and coded ones: policy and app see none."""
    assert _send(clean, (name, value)).grpc_status == 0
    (seen,) = [seen for seen in clean.apps["ledger"].calls if seen.method == POST]
    assert name.decode() not in seen.metadata
    assert not any(name in check for check in clean.policies["ledger"].checks)
