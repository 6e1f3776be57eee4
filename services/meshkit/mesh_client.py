"""Calls into the mesh from a workload without a sidecar, with its own SVID.

    with MeshClient("ledger", "127.0.0.1:18502") as channel:
        ledger = LedgerServiceStub(channel)
        ledger.GetBalance(GetBalanceRequest(account_id=...), timeout=5)

Mutual TLS with the X.509-SVID that the SPIFFE Workload API hands out. When the
agent renews it, new calls go over a new connection with the new certificate;
those that run finish on the old one.

The callee's identity. gRPC's Python library cannot be asked to compare the URI
in a certificate, but it does verify a DNS name. SPIRE gives each workload's
SVID the DNS name `<workload>.<trust domain>` (`dns_names` of its registration
entry) beside its SPIFFE ID, and the trust domain's own CA is the only root
accepted here. Only SPIRE can therefore have put that name into a certificate,
and it puts it into that workload's alone: the name stands for the identity.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import grpc

DEFAULT_TIMEOUT_SECONDS = 15.0
SVID_TIMEOUT_SECONDS = 10.0


class MeshIdentityError(Exception):
    """No SVID could be had from the Workload API; the message is one sentence."""


class MeshClient:
    """A channel to one callee that outlives its certificates."""

    def __init__(
        self,
        callee: str,
        address: str,
        *,
        workload_api_socket: Path | str | None = None,
        svid_timeout_seconds: float = SVID_TIMEOUT_SECONDS,
        max_message_bytes: int = 65536,
    ) -> None:
        """Name the callee's workload, such as `ledger`, and its Envoy's `host:port`.

        The Workload API's socket is `workload_api_socket`, or what
        SPIFFE_ENDPOINT_SOCKET names (`unix:///…`).
        """
        self._callee = callee
        self._address = address
        self._workload_api_socket = workload_api_socket
        self._svid_timeout_seconds = svid_timeout_seconds
        self._max_message_bytes = max_message_bytes

    def __enter__(self) -> grpc.Channel:
        """Wait for an SVID and return the channel. Raises MeshIdentityError."""
        raise NotImplementedError

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the channel and the Workload API's stream."""
        raise NotImplementedError
