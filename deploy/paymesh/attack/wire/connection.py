"""A connection that carries bytes: plain, over a Unix socket, or within TLS."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

_READ_BYTES = 65536


@dataclasses.dataclass(frozen=True)
class Tcp:
    """A TCP address."""

    host: str
    port: int


@dataclasses.dataclass(frozen=True)
class Unix:
    """A Unix stream socket."""

    path: Path


Endpoint = Tcp | Unix


@dataclasses.dataclass(frozen=True, repr=False)
class Tls:
    """What the client shows in its handshake.

    Attributes:
        certificates: PEM, the leaf first; none is shown when empty.
        key: of the leaf, PKCS #8 PEM. OpenSSL insists that it belongs to it.
        sni: the server name; None sends none.
        alpn: the protocols in this order; none sends no extension.
        oldest: the oldest version that is offered.
        newest: the newest.
    """

    certificates: bytes = b""
    key: bytes = b""
    sni: str | None = None
    alpn: tuple[str, ...] = ("h2",)
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3


class Connection:
    """A stream of bytes with somebody who may answer anything, or nothing, or hang up.

    What goes wrong is kept in `failure` and never raised: the other side's manners are what
    is being tried out.
    """

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self.failure = ""

    @property
    def stream(self) -> socket.socket:
        """The socket, an `ssl.SSLSocket` within TLS."""
        return self._stream

    def send(self, data: bytes, timeout_seconds: float = 5.0) -> bool:
        """Whether all of it was taken."""
        self._stream.settimeout(timeout_seconds)
        try:
            self._stream.sendall(data)
        except (OSError, ValueError) as error:
            self.failure = self.failure or reason_of(error)
            return False
        return True

    def read(self, deadline: float) -> bytes | None:
        """What has come; empty once the other side is gone, None at the deadline
        (seconds of time.monotonic).
        """
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        self._stream.settimeout(left)
        try:
            return self._stream.recv(_READ_BYTES)
        except TimeoutError:
            return None
        except (OSError, ValueError) as error:
            self.failure = self.failure or reason_of(error)
            return b""

    def close(self) -> None:
        """Closes without a word."""
        with contextlib.suppress(OSError):
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def reason_of(error: BaseException) -> str:
    """Why a connection failed: the name of the TLS alert or of the system's error."""
    if isinstance(error, ssl.SSLError):
        # Older libraries have no name for the newer alerts, but for their number.
        return error.reason or f"TLS: {error.args[-1]}"
    return type(error).__name__


def connect(endpoint: Endpoint, tls: Tls | None = None, timeout_seconds: float = 5.0) -> Connection:
    """Opens a connection, within TLS where `tls` says so.

    A server of TLS 1.3 judges the client's certificate after the client's handshake is
    over, so a refusal is met by the first read.

    Raises:
        OSError: nobody listens there, or the handshake failed (an ssl.SSLError is one).
    """
    plain = open_stream(endpoint, timeout_seconds)
    if tls is None:
        return Connection(plain)
    try:
        return Connection(context(tls).wrap_socket(plain, server_hostname=tls.sni))
    except BaseException:
        plain.close()
        raise


def open_stream(endpoint: Endpoint, timeout_seconds: float) -> socket.socket:
    """A connected socket.

    Raises:
        OSError: nobody listens there.
    """
    family = socket.AF_UNIX if isinstance(endpoint, Unix) else socket.AF_INET
    plain = socket.socket(family)
    try:
        plain.settimeout(timeout_seconds)
        if isinstance(endpoint, Unix):
            plain.connect(str(endpoint.path))
        else:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.connect((endpoint.host, endpoint.port))
    except BaseException:
        plain.close()
        raise
    return plain


def context(tls: Tls) -> ssl.SSLContext:
    """What OpenSSL makes connections of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # see the package's docstring
    context.minimum_version, context.maximum_version = tls.oldest, tls.newest
    if tls.alpn:
        context.set_alpn_protocols(list(tls.alpn))
    if tls.certificates:
        # The library reads files alone. These have no name, and are gone with the descriptor.
        with _file(tls.certificates) as chain, _file(tls.key) as key:
            context.load_cert_chain(chain, key)
    return context


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[str]:
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
