"""A gRPC server that answers as its methods are named, for the prober's agent."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from paymesh.attack.probe.agent.plan import Call
from paymesh.attack.probe.attempts import nonce

OK, BUSY_ONCE, BUSY = "/canary.Service/Ok", "/canary.Service/BusyOnce", "/canary.Service/Busy"
REFUSING, SILENT = "/canary.Service/Refusing", "/canary.Service/Silent"
ENDLESS = "/canary.Service/Endless"


class Callee(grpc.GenericRpcHandler):
    """Remembers the headers of each call by trace id."""

    def __init__(self, note: Callable[[str, str], None] = lambda _path, _trace: None) -> None:
        self.headers: dict[str, dict[str, str]] = {}
        self.calls: Counter[str] = Counter()
        self._note = note

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[Any, Any]:
        """Any method there is."""
        path = handler_call_details.method
        headers = {key: str(value) for key, value in handler_call_details.invocation_metadata}
        trace = headers["traceparent"].split("-")[1]
        self.headers[trace] = headers
        self.calls[trace] += 1

        def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
            self._note(path, trace)
            if path == BUSY or (path == BUSY_ONCE and self.calls[trace] == 1):
                context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
            if path == REFUSING:
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
            while path == SILENT and context.is_active():
                time.sleep(0.01)
            return b"message"

        def answers(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            yield b"first"
            while context.is_active():
                time.sleep(0.01)

        if path == ENDLESS:
            return grpc.unary_stream_rpc_method_handler(answers)
        return grpc.unary_unary_rpc_method_handler(answer)


@contextlib.contextmanager
def serving(
    address: str, callee: Callee, credentials: grpc.ServerCredentials | None = None
) -> Iterator[int]:
    """Serves at a gRPC address for the length of the block; yields the port, if it is one."""
    with ThreadPoolExecutor(16) as pool:
        server = grpc.server(pool, handlers=(callee,))
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        server.start()
        try:
            yield port
        finally:
            server.stop(grace=0).wait()


def call(path: str, **more: Any) -> Call:
    """One call with a name of its own."""
    made: Call = {"id": nonce(), "path": path, "authority": "callee", "headers": [], "body": ""}
    return {**made, **more}  # type: ignore[typeddict-item]
