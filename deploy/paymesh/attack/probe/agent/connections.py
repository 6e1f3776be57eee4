"""Connections, and what became of those that there are none of."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Mapping

from paymesh.attack.probe.agent.plan import Address, Certificate, Tls

CONNECT_SECONDS = 4.0
# Nobody there, nobody let in: asking again changes nothing.
_CERTAIN = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
    }
)
_CLOSED = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN, errno.ECONNABORTED})


class RefusedError(Exception):
    """There is no way in. `certain` is false where an overloaded peer could look the same."""

    def __init__(self, detail: str, *, certain: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.certain = certain


class FailedError(Exception):
    """Nothing is known: no answer in time, or a connection lost half-way."""


class Connector:
    """Makes connections with the plan's certificates."""

    def __init__(self, certificates: Mapping[str, Certificate]) -> None:
        self._certificates = certificates

    def connect(self, address: Address, tls: Tls | None) -> socket.socket:
        """A connected socket whose every operation is limited in time.

        Raises:
            RefusedError, FailedError
        """
        try:
            plain = _plain(address)
        except TimeoutError as error:
            raise FailedError("no connection in time") from error
        except OSError as error:
            if error.errno in _CERTAIN:
                raise RefusedError(name_of(error), certain=True) from error
            raise FailedError(name_of(error)) from error
        if tls is None:
            return plain
        try:
            return self._context(tls).wrap_socket(plain, server_hostname=tls["server_name"])
        except OSError as error:
            plain.close()
            raise judged(error, "in the TLS handshake") from error

    def _context(self, tls: Tls) -> ssl.SSLContext:
        """Whoever answers is not checked: what he lets us do is the question."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(tls["alpn"])
        identity = tls["identity"]
        if identity is not None:
            _load(context, self._certificates[identity])
        return context


def judged(error: OSError, where: str) -> RefusedError | FailedError:
    """What an error on a connection that nothing was asked on yet means."""
    if isinstance(error, TimeoutError):
        return FailedError(f"no answer {where}")
    if isinstance(error, ssl.SSLError):
        said = error.reason or "closed"
        # An alert is the peer's own word; an end of file is not.
        return RefusedError(f"{said} {where}", certain="ALERT" in said)
    if error.errno in _CLOSED:
        return RefusedError(f"closed {where}", certain=False)
    return FailedError(f"{name_of(error)} {where}")


def name_of(error: OSError) -> str:
    """Such as ECONNREFUSED."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def _plain(address: Address) -> socket.socket:
    if "tcp" in address:
        host, port = address["tcp"]
        connected = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(CONNECT_SECONDS)
    try:
        connected.connect(address["unix"])
    except OSError:
        connected.close()
        raise
    return connected


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    """By way of a file that exists in memory only: OpenSSL takes names of files."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, (certificate["key"] + certificate["chain"]).encode("ascii"))
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
