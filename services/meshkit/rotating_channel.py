"""A gRPC channel whose credentials change while stubs keep using it.

gRPC's client credentials are fixed when a channel is made (only servers have
dynamic ones), so new certificates need a new channel. Stubs hold on to the
callables that they got from the channel they were built with; the callables
here look the present channel up at each call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import grpc

CLOSE_MARGIN_SECONDS = 1.0

if TYPE_CHECKING:
    _Callback = Callable[[grpc.ChannelConnectivity], None]


class RotatingChannel(grpc.Channel):
    """Stands for one real channel after another; `rotate` brings in the next.

    Calls that run when the channel is rotated finish on the one that they began
    on: it is closed after the longest time that any call may take. For this,
    every call has a timeout of at most `max_call_seconds`.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        max_call_seconds: float,
        before_call: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with `channel`; `before_call` may raise to refuse a call before it is made."""
        self._present = channel
        self._max_call_seconds = max_call_seconds
        self._before_call = before_call
        self._lock = threading.Lock()
        self._retired: dict[grpc.Channel, threading.Timer] = {}
        self._subscribers: list[tuple[_Callback, bool]] = []
        self._closed = False

    def rotate(self, channel: grpc.Channel) -> None:
        """Send new calls over `channel` from now on."""
        with self._lock:
            if self._closed:
                channel.close()
                return
            old, self._present = self._present, channel
            timer = threading.Timer(
                self._max_call_seconds + CLOSE_MARGIN_SECONDS, self._close_retired, (old,)
            )
            timer.daemon = True
            self._retired[old] = timer
            subscribers = list(self._subscribers)
        timer.start()
        for callback, try_to_connect in subscribers:
            old.unsubscribe(callback)
            channel.subscribe(callback, try_to_connect)

    def close(self) -> None:
        """Close the present channel and the retired ones; calls that run are cancelled."""
        with self._lock:
            self._closed = True
            retired = dict(self._retired)
            self._retired.clear()
        for channel, timer in retired.items():
            timer.cancel()
            channel.close()
        self._present.close()

    def subscribe(self, callback: _Callback, try_to_connect: bool | None = False) -> None:  # noqa: FBT001, FBT002  # grpc's signature
        """Report the present channel's connectivity, and that of those after it."""
        with self._lock:
            self._subscribers.append((callback, bool(try_to_connect)))
            present = self._present
        present.subscribe(callback, bool(try_to_connect))

    def unsubscribe(self, callback: _Callback) -> None:
        """Report to `callback` no longer."""
        with self._lock:
            self._subscribers = [item for item in self._subscribers if item[0] != callback]
            present = self._present
        present.unsubscribe(callback)

    def unary_unary(self, method: str, *args: Any, **options: Any) -> Any:
        """Return a callable for one request and one response."""
        return _WithFuture(self, "unary_unary", method, args, options)

    def unary_stream(self, method: str, *args: Any, **options: Any) -> Any:
        """Return a callable for one request and many responses."""
        return _Rotating(self, "unary_stream", method, args, options)

    def stream_unary(self, method: str, *args: Any, **options: Any) -> Any:
        """Return a callable for many requests and one response."""
        return _WithFuture(self, "stream_unary", method, args, options)

    def stream_stream(self, method: str, *args: Any, **options: Any) -> Any:
        """Return a callable for many requests and many responses."""
        return _Rotating(self, "stream_stream", method, args, options)

    def present(self) -> grpc.Channel:
        """Return the channel for a call that begins now; raises what `before_call` raises."""
        self._before_call()
        return self._present

    def limited(self, timeout_seconds: float | None) -> float:
        """Return the timeout that a call gets: its own, but no more than the limit."""
        if timeout_seconds is None:
            return self._max_call_seconds
        return min(timeout_seconds, self._max_call_seconds)

    def _close_retired(self, channel: grpc.Channel) -> None:
        with self._lock:
            timer = self._retired.pop(channel, None)
        if timer is not None:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool | None:
        self.close()
        return None


class _Rotating:
    """A callable that is bound to the present channel anew at each call."""

    def __init__(
        self,
        owner: RotatingChannel,
        kind: str,
        method: str,
        args: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> None:
        self._owner = owner
        self._kind = kind
        self._method = method
        self._args = args
        self._options = options
        self._bound: tuple[grpc.Channel, Any] | None = None

    def _callable(self) -> Any:
        channel = self._owner.present()
        bound = self._bound
        if bound is None or bound[0] is not channel:
            make = getattr(channel, self._kind)
            bound = (channel, make(self._method, *self._args, **self._options))
            self._bound = bound
        return bound[1]

    def __call__(self, request: Any, timeout: float | None = None, **options: Any) -> Any:
        return self._callable()(request, timeout=self._owner.limited(timeout), **options)


class _WithFuture(_Rotating):
    def with_call(self, request: Any, timeout: float | None = None, **options: Any) -> Any:
        return self._callable().with_call(request, timeout=self._owner.limited(timeout), **options)

    def future(self, request: Any, timeout: float | None = None, **options: Any) -> Any:
        return self._callable().future(request, timeout=self._owner.limited(timeout), **options)
