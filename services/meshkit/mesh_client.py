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

import datetime as dt
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import grpc
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from spiffe import X509Source
from spiffe.errors import PySpiffeError
from spiffe.workloadapi.x509_context import X509Context

from meshkit.logging import get_logger
from meshkit.rotating_channel import RotatingChannel

MAX_CALL_SECONDS = 15.0
SVID_TIMEOUT_SECONDS = 10.0
REOPEN_PAUSE_SECONDS = 1.0

_WORKLOAD = re.compile(r"[a-z][a-z0-9-]{0,62}")
_log = get_logger(__name__)


class MeshIdentityError(Exception):
    """There is no valid SVID to call with; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An SVID as gRPC wants it (PEM), its trust domain's roots and when it ends."""

    trust_domain: str
    certificate_chain: bytes
    private_key: bytes
    roots: bytes
    not_after: dt.datetime

    def __repr__(self) -> str:
        return f"Identity(trust_domain={self.trust_domain!r}, not_after={self.not_after})"


class MeshClient:
    """A channel to one callee that outlives its certificates; a context manager, used once."""

    def __init__(
        self,
        callee: str,
        address: str,
        *,
        workload_api_socket: Path | str | None = None,
        svid_timeout_seconds: float = SVID_TIMEOUT_SECONDS,
        max_call_seconds: float = MAX_CALL_SECONDS,
        max_message_bytes: int = 65536,
    ) -> None:
        """Name the callee's workload, such as `ledger`, and its Envoy's `host:port`.

        The Workload API's socket is `workload_api_socket` (a path), or what
        SPIFFE_ENDPOINT_SOCKET names (`unix:///…`). A call without a timeout, or with
        a longer one, gets `max_call_seconds`.
        """
        if not _WORKLOAD.fullmatch(callee):
            raise ValueError("a workload's name is made of a-z, 0-9 and hyphen")
        self._callee = callee
        self._address = address
        self._socket = (
            f"unix://{Path(workload_api_socket).resolve()}" if workload_api_socket else None
        )
        self._svid_timeout_seconds = svid_timeout_seconds
        self._max_call_seconds = max_call_seconds
        self._max_message_bytes = max_message_bytes
        self._lock = threading.RLock()
        self._source: X509Source | None = None
        self._identity: Identity | None = None
        self._channel: RotatingChannel | None = None
        self._reopening = False
        self._closed = threading.Event()

    def __enter__(self) -> grpc.Channel:
        """Wait for an SVID and return the channel. Raises MeshIdentityError."""
        source = self._open_source()
        with self._lock:
            self._source = source
            self._identity = identity_of(source.get_x509_context())
            self._channel = RotatingChannel(
                self._secure_channel(self._identity),
                max_call_seconds=self._max_call_seconds,
                before_call=self._before_call,
            )
        self._follow(source)
        return self._channel

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Close the channel and the Workload API's stream."""
        self._closed.set()
        with self._lock:
            source, channel = self._source, self._channel
        if channel is not None:
            channel.close()
        if source is not None:
            source.close()

    def _open_source(self) -> X509Source:
        try:
            return X509Source(
                socket_path=self._socket, timeout_in_seconds=self._svid_timeout_seconds
            )
        except PySpiffeError as error:
            raise MeshIdentityError(
                f"The Workload API gave no SVID within {self._svid_timeout_seconds:g} s: {error}"
            ) from error

    def _follow(self, source: X509Source) -> None:
        source.subscribe_for_updates(lambda: self._updated(source))
        # An update between the first reading and the subscription would be missed.
        self._updated(source)

    def _updated(self, source: X509Source) -> None:
        """Rotate the channel if the SVID or the trust domain's roots have changed."""
        try:
            identity = identity_of(source.get_x509_context())
        except (PySpiffeError, MeshIdentityError) as error:
            _log.warning("no identity in the Workload API's update", error=type(error).__name__)
            return
        with self._lock:
            if self._closed.is_set() or self._channel is None or identity == self._identity:
                return
            self._identity = identity
            self._channel.rotate(self._secure_channel(identity))
        _log.info("SVID rotated", not_after=identity.not_after.isoformat())

    def _before_call(self) -> None:
        """Refuse to call with an SVID that is over, even over a connection that still stands."""
        source, identity = self._source, self._identity
        if source is not None and source.is_closed() and not self._closed.is_set():
            self._reopen()
        if identity is None or identity.not_after <= dt.datetime.now(dt.UTC):
            raise MeshIdentityError("The SVID has expired and the Workload API gave no new one.")

    def _reopen(self) -> None:
        """Ask the Workload API anew in the background: its client gives up on some errors."""
        with self._lock:
            if self._reopening:
                return
            self._reopening = True
        threading.Thread(target=self._reopen_until_done, daemon=True, name="svid-reopen").start()

    def _reopen_until_done(self) -> None:
        while not self._closed.is_set():
            try:
                source = self._open_source()
            except MeshIdentityError as error:
                _log.warning("still no SVID", error=str(error))
                self._closed.wait(REOPEN_PAUSE_SECONDS)
                continue
            with self._lock:
                self._source = source
                self._reopening = False
            if self._closed.is_set():
                source.close()
            else:
                self._follow(source)
            return

    def _secure_channel(self, identity: Identity) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=identity.roots,
            private_key=identity.private_key,
            certificate_chain=identity.certificate_chain,
        )
        return grpc.secure_channel(
            self._address,
            credentials,
            options=(
                ("grpc.ssl_target_name_override", f"{self._callee}.{identity.trust_domain}"),
                # Channels otherwise share connections, and with them the old certificate.
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_receive_message_length", self._max_message_bytes),
                ("grpc.max_send_message_length", self._max_message_bytes),
                ("grpc.enable_retries", 0),
                ("grpc.service_config_disable_resolution", 1),
                ("grpc.enable_http_proxy", 0),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 2000),
            ),
        )


def identity_of(context: X509Context) -> Identity:
    """Read the default SVID and its own trust domain's roots. Raises MeshIdentityError."""
    svid = context.default_svid
    trust_domain = svid.spiffe_id.trust_domain
    # Federated trust domains' roots are left out: they must not vouch for our callees.
    bundle = context.x509_bundle_set.get_bundle_for_trust_domain(trust_domain)
    if bundle is None or not bundle.x509_authorities:
        raise MeshIdentityError("The Workload API gave no roots for the workload's trust domain.")
    roots = sorted(root.public_bytes(Encoding.PEM) for root in bundle.x509_authorities)
    return Identity(
        trust_domain=trust_domain.name,
        certificate_chain=b"".join(
            certificate.public_bytes(Encoding.PEM) for certificate in svid.cert_chain
        ),
        private_key=svid.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
        roots=b"".join(roots),
        not_after=svid.leaf.not_valid_after_utc,
    )
