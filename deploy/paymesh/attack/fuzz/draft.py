"""One connection's frames in the making."""

from __future__ import annotations

import random

from hpack import Encoder

from paymesh.attack.fuzz.menu import Menu

_LAST_STREAM = (1 << 31) - 1


class Draft:
    """The frames so far, and what the next ones need to know of them."""

    def __init__(self, rng: random.Random, menu: Menu) -> None:
        self.rng = rng
        self.menu = menu
        # The first fault of a connection is its last: half of them have none, to get further.
        self.careful = self.chance(50)
        self.frames: list[bytes] = []
        self.streams: list[int] = []
        # Of the whole connection: what it puts into the dynamic table, the peer has there, if
        # nobody else puts anything there.
        self.encoder = Encoder()
        self.indexed = self.chance(40)
        self._next = 1

    def add(self, *frames: bytes) -> None:
        """More frames, in order."""
        self.frames += frames

    def fresh(self) -> int:
        """A stream that was not used, as a client numbers them."""
        stream, self._next = self._next, self._next + 2
        self.streams.append(stream)
        return stream

    def odd_one(self) -> int:
        """A stream that is seldom the right one: in use, over, not begun, the server's, or 0."""
        used = self.rng.choice(self.streams) if self.streams else 1
        if self.careful:
            return used
        return self.rng.choice((used, used, self._next + 2, 2, 0, _LAST_STREAM, used | 1 << 31))

    def chance(self, percent: int) -> bool:
        """True so often."""
        return self.rng.randrange(100) < percent
