"""Stand-ins on the two sockets behind an Envoy: the app, and the policy decision point.

Both are real gRPC servers that speak bytes: what is tested is Envoy.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc


@dataclasses.dataclass(frozen=True)
class Call:
    """One call as the app saw it."""

    method: str
    metadata: dict[str, str]
    message: bytes


class App(grpc.GenericRpcHandler):
    """Answers every RPC with `answer` and remembers it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answer = b""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """One handler for whatever method is called."""
        metadata = {key: str(value) for key, value in details.invocation_metadata}

        def handle(message: bytes, _context: grpc.ServicerContext) -> bytes:
            self.calls.append(Call(details.method, metadata, message))
            return self.answer

        return grpc.unary_unary_rpc_method_handler(handle)


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited protobuf field shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value


def _varint(number: int, value: int) -> bytes:
    """A varint protobuf field below 2^14."""
    low, high = value & 0x7F, value >> 7
    return bytes([number << 3, low | 0x80, high]) if high else bytes([number << 3, low])


def _header(name: str, value: str) -> bytes:
    return _field(1, _field(1, name.encode()) + _field(2, value.encode()))


def allow(**headers: str) -> bytes:
    """A CheckResponse that lets the request through with more headers."""
    ok = b"".join(_field(2, _header(k.replace("_", "-"), v)) for k, v in headers.items())
    return _field(1, b"") + _field(3, ok)


def deny(http_status: int, reason: str) -> bytes:
    """A CheckResponse as the policy decision point refuses."""
    denied = _field(1, _varint(1, http_status))
    denied += _field(2, _header("x-paymesh-reason", reason)) + _field(3, reason.encode())
    return _field(1, _varint(1, 7)) + _field(2, denied)


class Policy(grpc.GenericRpcHandler):
    """Answers every check with `answer`; while `hung` is set it does not answer at all."""

    def __init__(self) -> None:
        self.checks: list[bytes] = []
        self.answer = allow()
        self.hung = False
        self._released = threading.Event()

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """The one RPC of ext_authz."""

        def check(message: bytes, _context: grpc.ServicerContext) -> bytes:
            self.checks.append(message)
            if self.hung:
                self._released.wait(5)
            return self.answer

        return grpc.unary_unary_rpc_method_handler(check)

    def release(self) -> None:
        """Lets hanging checks end, so that the server can stop."""
        self._released.set()


@contextmanager
def served(
    handler: grpc.GenericRpcHandler, socket: Path, port: int | None = None
) -> Iterator[Callable[[], None]]:
    """Serves on a Unix socket, and on a loopback port if there is one; yields what stops it."""
    server = grpc.server(ThreadPoolExecutor(8), handlers=[handler])
    server.add_insecure_port(f"unix:{socket}")
    if port is not None:
        server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()

    def stop() -> None:
        server.stop(grace=0).wait()
        socket.unlink(missing_ok=True)

    try:
        yield stop
    finally:
        stop()
