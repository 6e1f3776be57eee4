"""A channel that is replaced under its stubs, for all four kinds of calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest

from meshkit import rotating_channel
from meshkit.rotating_channel import RotatingChannel


class _Named(grpc.GenericRpcHandler):
    """Answers every kind of call with the server's name."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    def service(self, details: Any) -> Any:
        """Choose by the method's name."""
        kind = details.method.rpartition("/")[2]
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(self._many if kind.endswith("stream") else self._one)

    def _one(self, _request: Any, _context: Any) -> bytes:
        return self._name

    def _many(self, _request: Any, _context: Any) -> Iterator[bytes]:
        yield from (self._name, self._name)


@contextmanager
def server_named(name: bytes) -> Iterator[str]:
    """Serve; give the address."""
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_Named(name)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def addresses() -> Iterator[tuple[str, str]]:
    """Two servers, `old` and `new`."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(server_named(b"old")),
            stack.enter_context(server_named(b"new")),
        )


def _callers(channel: grpc.Channel) -> dict[str, Any]:
    one, many = channel.unary_unary("/s/unary_unary"), channel.unary_stream("/s/unary_stream")
    in_many, both = (
        channel.stream_unary("/s/stream_unary"),
        channel.stream_stream("/s/stream_stream"),
    )
    return {
        "unary_unary": lambda: one(b""),
        "with_call": lambda: one.with_call(b"")[0],
        "future": lambda: one.future(b"").result(),
        "unary_stream": lambda: list(many(b""))[-1],
        "stream_unary": lambda: in_many(iter([b""])),
        "stream_stream": lambda: list(both(iter([b""])))[-1],
    }


def test_every_kind_of_call_goes_over_the_present_channel(addresses: tuple[str, str]) -> None:
    """Callables made before a rotation reach the new server after it, whatever their kind."""
    old, new = (grpc.insecure_channel(address) for address in addresses)
    with RotatingChannel(old, max_call_seconds=5) as channel:
        callers = _callers(channel)
        assert {name: call() for name, call in callers.items()} == dict.fromkeys(callers, b"old")
        channel.rotate(new)
        assert {name: call() for name, call in callers.items()} == dict.fromkeys(callers, b"new")


def test_a_retired_channel_is_closed_when_no_call_can_be_left(
    addresses: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old channel closes after the longest time that a call may take, not before."""
    monkeypatch.setattr(rotating_channel, "CLOSE_MARGIN_SECONDS", 0.1)
    old, new = (grpc.insecure_channel(address) for address in addresses)
    with RotatingChannel(old, max_call_seconds=0.5) as channel:
        channel.rotate(new)
        assert old.unary_unary("/s/unary_unary")(b"", timeout=0.4) == b"old"
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                old.unary_unary("/s/unary_unary")(b"", timeout=5)
            except ValueError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("the old channel is still open")


def test_no_call_lasts_longer_than_the_limit() -> None:
    """A call without a timeout gets the limit, one beyond it is cut, one below it is kept."""
    with RotatingChannel(grpc.insecure_channel("127.0.0.1:1"), max_call_seconds=5) as channel:
        assert [channel.limited(timeout) for timeout in (None, 60, 5, 1)] == [5, 5, 5, 1]


def test_a_closed_channel_does_not_come_back(addresses: tuple[str, str]) -> None:
    """A rotation that comes after the close closes the newcomer too."""
    old, new = (grpc.insecure_channel(address) for address in addresses)
    channel = RotatingChannel(old, max_call_seconds=5)
    call = channel.unary_unary("/s/unary_unary")
    channel.close()
    channel.rotate(new)
    with pytest.raises(ValueError, match="closed"):
        call(b"")
    with pytest.raises(ValueError, match="closed"):
        new.unary_unary("/s/unary_unary")(b"")


def test_readiness_can_be_awaited_across_a_rotation(addresses: tuple[str, str]) -> None:
    """grpc.channel_ready_future works, and who subscribed is told of the new channel's state."""
    old, new = (grpc.insecure_channel(address) for address in addresses)
    seen: list[grpc.ChannelConnectivity] = []
    with RotatingChannel(old, max_call_seconds=5) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        channel.subscribe(seen.append, try_to_connect=True)
        channel.rotate(new)
        end = time.monotonic() + 10
        while grpc.ChannelConnectivity.READY not in seen[1:] and time.monotonic() < end:
            time.sleep(0.02)
        channel.unsubscribe(seen.append)
        # grpc's own poller looks every 0.2 s whether anybody is subscribed, and
        # raises in its thread when the channel is closed under it.
        time.sleep(0.6)
    assert grpc.ChannelConnectivity.READY in seen
