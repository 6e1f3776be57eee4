"""Sending variants, many at a time, over connections that are used again where they may be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from paymesh.attack import wire
from paymesh.attack.corpus.model import Variant, Way

# Many of them wait for an answer that does not come, or for Envoy, who takes a second to hang
# up on somebody whose frames it does not understand.
_AT_ONCE = 64
_UNREACHABLE = "nobody listens: "


class Lines(threading.local):
    """Each thread's open connections, by way."""

    def __init__(self) -> None:
        self.open: dict[Way, wire.Http2] = {}

    def close(self) -> None:
        """Hangs up on everybody."""
        for http2 in self.open.values():
            http2.close()
        self.open.clear()


class Sender:
    """Sends variants; `close` or leaving its block hangs up."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._all: list[wire.Http2] = []
        self._lock = threading.Lock()

    def send(
        self, variants: Iterable[Variant], done: Callable[[], None] = lambda: None
    ) -> dict[str, wire.Reply]:
        """The reply to each, by its id; `done` is called after each."""

        def one(variant: Variant) -> tuple[str, wire.Reply]:
            reply = self._one(variant)
            done()
            return variant.id, reply

        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                return dict(pool.map(one, variants))
        finally:
            self._hang_up()

    def _one(self, variant: Variant) -> wire.Reply:
        if not variant.attempt.shares:
            try:
                connection = variant.way.connect()
            except OSError as error:
                return wire.Reply("closed", detail=f"{_UNREACHABLE}{error}")
            with connection:
                return variant.attempt.run(wire.Http2(connection, variant.way.opening))
        open_lines = self._lines.open
        http2 = open_lines.get(variant.way)
        if http2 is None or http2.failed is not None:
            try:
                http2 = wire.Http2(variant.way.connect(), variant.way.opening)
            except OSError as error:
                return wire.Reply("closed", detail=f"{_UNREACHABLE}{error}")
            open_lines[variant.way] = http2
            with self._lock:
                self._all.append(http2)
        return variant.attempt.run(http2)

    def _hang_up(self) -> None:
        with self._lock:
            for http2 in self._all:
                http2.close()
            self._all.clear()
