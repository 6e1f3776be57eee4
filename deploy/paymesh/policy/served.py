"""One file of the bundle server: in memory, with those who wait for its next content."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path

from paymesh.policy.names import MAX_BUNDLE_BYTES


class Served:
    """One bundle, in memory, and those who wait for the next."""

    def __init__(self, path: Path, *, outlives_file: bool) -> None:
        self._path = path
        self._outlives_file = outlives_file
        self.data = b""
        self.etag = ""
        self._changed = asyncio.Event()
        self.load()

    def load(self) -> None:
        """Takes the file as it is now. One that cannot be read or is too large leaves the last."""
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_BUNDLE_BYTES + 1)
        except FileNotFoundError:
            if self._outlives_file:
                return
            data = b""
        except OSError:
            return
        is_empty_file = not data and self._outlives_file
        if data == self.data or is_empty_file or len(data) > MAX_BUNDLE_BYTES:
            return
        self.data = data
        self.etag = f'"{hashlib.sha256(data).hexdigest()}"' if data else ""
        self.wake()

    def wake(self) -> None:
        """Lets everybody look again who waits now."""
        waiters, self._changed = self._changed, asyncio.Event()
        waiters.set()

    async def next(self, seconds: float) -> None:
        """Returns with the next bundle, or when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
