"""A client that tidies nothing up: TLS, HTTP/2 frames and HTTP/1 as the bytes that they are.

A client library lower-cases names, joins paths, drops what may not be sent and counts lengths.
An attacker does none of it. Here every byte is the caller's own choice; only what comes back is
read with care: never more than a limit of bytes, never longer than a limit of seconds.

    connection = wire.connect(wire.Tcp("127.0.0.1", port), wire.Tls(chain, key, sni="ledger.x"))
    http2 = wire.Http2(connection)
    reply = http2.exchange(wire.Request(wire.grpc_headers(path, authority), wire.message(body)))

The server's certificate is not verified: this client has nothing that is worth keeping from it.
"""

from paymesh.attack.wire.connection import (
    Connection,
    Endpoint,
    Tcp,
    Tls,
    Unix,
    connect,
    context,
    open_stream,
)
from paymesh.attack.wire.frames import PREFACE, Flag, Frame, Request, frame, settings
from paymesh.attack.wire.grpc import grpc_headers, message
from paymesh.attack.wire.hpack import Field, block, integer, literal, string
from paymesh.attack.wire.http1 import exchange as exchange_http1
from paymesh.attack.wire.http2 import Http2
from paymesh.attack.wire.reply import End, Reply

__all__ = [
    "PREFACE",
    "Connection",
    "End",
    "Endpoint",
    "Field",
    "Flag",
    "Frame",
    "Http2",
    "Reply",
    "Request",
    "Tcp",
    "Tls",
    "Unix",
    "block",
    "connect",
    "context",
    "exchange_http1",
    "frame",
    "grpc_headers",
    "integer",
    "literal",
    "message",
    "open_stream",
    "settings",
    "string",
]
