"""A SPIFFE Workload API that a test is in charge of: a real gRPC server on a Unix socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import grpc
from spiffe._proto import workload_pb2, workload_pb2_grpc

from meshkit.testing.authority import TestAuthority, TestSvid

_MAX_STREAMS = 8
_POLL_SECONDS = 0.2


class FakeWorkloadApi:
    """Streams the SVID that `give` names last, and refuses with PermissionDenied before the first.

    Like the real one it insists on the metadata `workload.spiffe.io: true`
    (SPIFFE Workload API, section 3). A context manager.
    """

    def __init__(self, socket: Path) -> None:
        """Serve on the Unix socket."""
        self.socket = socket
        self._change = threading.Condition()
        self._response: Any = None
        self._version = 0
        self._stopped = False
        self._refusal: grpc.StatusCode | None = None
        self._server = grpc.server(ThreadPoolExecutor(_MAX_STREAMS))
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(  # type: ignore[no-untyped-call]
            _Servicer(self), self._server
        )
        self._server.add_insecure_port(f"unix:{socket}")

    def give(self, svid: TestSvid, authority: TestAuthority) -> None:
        """Send this SVID, with the authority's root, to all who listen and who come later."""
        item = workload_pb2.X509SVID(
            spiffe_id=svid.spiffe_id,
            x509_svid=svid.chain_der,
            x509_svid_key=svid.key_der,
            bundle=authority.root_der,
        )
        with self._change:
            self._response = workload_pb2.X509SVIDResponse(svids=[item])
            self._refusal = None
            self._version += 1
            self._change.notify_all()

    def refuse(self, code: grpc.StatusCode) -> None:
        """End every stream, and answer new ones, with `code`."""
        with self._change:
            self._refusal = code
            self._version += 1
            self._change.notify_all()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        with self._change:
            self._stopped = True
            self._change.notify_all()
        self._server.stop(None).wait()

    def stream(self, context: grpc.ServicerContext) -> Iterator[Any]:
        """Yield responses for one client until it goes away."""
        if dict(context.invocation_metadata() or ()).get("workload.spiffe.io") != "true":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        sent = -1
        while context.is_active():
            with self._change:
                self._change.wait_for(
                    lambda sent=sent: self._stopped or self._version != sent,  # type: ignore[misc]
                    _POLL_SECONDS,
                )
                if self._stopped:
                    return
                version, response, refusal = self._version, self._response, self._refusal
            if refusal is not None:
                context.abort(refusal, "refused")
            if response is None:
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
            if version != sent:
                sent = version
                yield response


class _Servicer(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    def __init__(self, api: FakeWorkloadApi) -> None:
        self._api = api

    def FetchX509SVID(  # noqa: N802  # the name of the RPC
        self, request: Any, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        del request
        return self._api.stream(context)
