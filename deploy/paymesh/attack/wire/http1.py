"""HTTP/1 as raw bytes: what is sent is the caller's, what comes back is read to its end."""

from __future__ import annotations

import re
import time

from paymesh.attack.wire.connection import Connection
from paymesh.attack.wire.hpack import Field
from paymesh.attack.wire.reply import Reply

_MAX_BYTES = 1 << 20
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_WITHOUT_BODY = frozenset({204, 304})
_INFORMATIONAL = range(100, 200)
_SWITCHING = 101


def exchange(
    connection: Connection, data: bytes, timeout_seconds: float = 5.0, max_bytes: int = _MAX_BYTES
) -> Reply:
    """Sends bytes and reads one response (RFC 9112), interim ones passed over."""
    deadline = time.monotonic() + timeout_seconds
    connection.send(data, timeout_seconds)
    seen = b""
    while True:
        found = parse(seen)
        if found is not None:
            return found
        more = connection.read(deadline)
        if more is None or len(seen) > max_bytes:
            return _unfinished("timeout", seen, connection)
        if not more:
            return _unfinished("closed", seen, connection)
        seen += more


def parse(seen: bytes) -> Reply | None:
    """The response at the start of `seen`, None while it is not whole."""
    head, separator, rest = seen.partition(b"\r\n\r\n")
    if not separator:
        return None
    status, headers = _head(head)
    if status in _INFORMATIONAL and status != _SWITCHING:
        return parse(rest)
    if status in _WITHOUT_BODY or status == _SWITCHING:
        return Reply("answered", status, headers)
    body = _body(dict(headers), rest)
    return None if body is None else Reply("answered", status, headers, body)


def _body(fields: dict[bytes, bytes], rest: bytes) -> bytes | None:
    """None while it is not whole; without a length it goes on to the connection's end."""
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return rest if rest.endswith(b"0\r\n\r\n") else None
    length = fields.get(b"content-length", b"")
    if length.isdigit() and len(rest) >= int(length):
        return rest[: int(length)]
    return None


def _head(head: bytes) -> tuple[int | None, tuple[Field, ...]]:
    first, *lines = head.split(b"\r\n")
    found = _STATUS.match(first)
    pairs = (line.partition(b":") for line in lines)
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return int(found[1]) if found else None, headers


def _unfinished(end: str, seen: bytes, connection: Connection) -> Reply:
    head, separator, rest = seen.partition(b"\r\n\r\n")
    status, headers = _head(head) if separator else (None, ())
    if end == "closed":
        answered = status is not None and b"content-length" not in dict(headers)
        return Reply(
            "answered" if answered else "closed", status, headers, rest, None, connection.failure
        )
    return Reply("timeout", status, headers, rest)
