"""A server's certificate and key, taken anew when their files change.

In a cluster a renewed Secret appears in the same files after a while (kubernetes.io, "Using
Secrets as files from a Pod"); nothing has to be restarted for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

_LOOK_SECONDS = 1.0


class Certificate:
    """A TLS 1.3 context whose certificate is that of the files now.

    A pair that does not fit, half of a renewal say, leaves the last one in use.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises:
        OSError: a file cannot be read, or they are no certificate and its key.
        """
        self._certificate = certificate
        self._key = key
        self._loaded = self._contents()
        self._current = self._load()
        self.context = self._load()
        # A handshake begins in this context and goes on in the one of that moment.
        self.context.sni_callback = self._switch

    def refresh(self) -> bool:
        """Takes the files as they are now; whether they were another, working pair."""
        try:
            contents = self._contents()
            if contents == self._loaded:
                return False
            self._current = self._load()
        except OSError:
            return False
        self._loaded = contents
        return True

    async def follow(self, stop: asyncio.Event) -> None:
        """Refreshes until `stop`."""
        while not stop.is_set():
            self.refresh()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)

    def _contents(self) -> tuple[bytes, bytes]:
        return self._certificate.read_bytes(), self._key.read_bytes()

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_cert_chain(self._certificate, self._key)
        except ssl.SSLError as error:
            raise OSError(f"{self._certificate} and {self._key} do not fit: {error}") from error
        return context

    def _switch(self, connection: ssl.SSLObject | ssl.SSLSocket, *_: object) -> None:
        connection.context = self._current
