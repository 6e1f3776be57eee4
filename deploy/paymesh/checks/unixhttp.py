"""HTTP over a Unix socket, for Envoy's administration interface."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

_TIMEOUT_SECONDS = 5.0
_MAX_BODY_BYTES = 8 * 1024 * 1024


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))


def get(path: Path, target: str) -> tuple[int, bytes]:
    """Status and body of `GET target`.

    Raises:
        OSError: nobody answers on the socket.
    """
    connection = _Connection(path)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        return response.status, response.read(_MAX_BODY_BYTES)
    except http.client.HTTPException as error:
        raise OSError(f"{path} does not speak HTTP: {error!r}") from error
    finally:
        connection.close()
