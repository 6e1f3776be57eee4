"""What a class of the corpus consists of: variants, and where and how each is sent."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Protocol

from paymesh.attack import wire
from paymesh.attack.corpus import der
from paymesh.attack.wire import tls13

TRACE_BYTES = 32
PATIENCE_SECONDS = 1.5


@dataclasses.dataclass(frozen=True)
class Way:
    """A connection that can be made: where to, and as whom.

    Attributes:
        name: such as `statements at ledger`.
        caller: whose identity it is, as a workload; empty for nobody's.
        endpoint: who listens there.
        script: how the TLS handshake goes; None for plaintext.
        identity: the certificate that is shown, if any.
        authority: what a client would write there.
        opening: what is sent before the first request; None for preface and SETTINGS.
    """

    name: str
    caller: str
    endpoint: wire.Endpoint
    script: tls13.Script | None
    identity: tls13.Identity | None
    authority: str
    opening: bytes | None = None

    def connect(self, timeout_seconds: float = 3.0) -> wire.Connection:
        """A new connection.

        Raises:
            OSError: nobody listens there.
        """
        if self.script is None:
            return wire.connect(self.endpoint, None, timeout_seconds)
        return tls13.handshake(self.endpoint, self.identity, self.script, timeout_seconds)

    def changed(self, **changes: object) -> Way:
        """The same with something else in a field."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


class Attempt(Protocol):
    """How a variant is sent."""

    @property
    def data(self) -> bytes:
        """What makes it different from other variants, as bytes."""

    @property
    def shares(self) -> bool:
        """Whether it may go over a connection that others have used."""

    def run(self, http2: wire.Http2) -> wire.Reply:
        """Sends it over an open connection and waits for its end."""


@dataclasses.dataclass(frozen=True)
class Sent:
    """One request in its own stream."""

    request: wire.Request
    shares: bool = True
    patience_seconds: float = PATIENCE_SECONDS

    @property
    def data(self) -> bytes:
        """As on the first stream."""
        return self.request.frames(1)

    def run(self, http2: wire.Http2) -> wire.Reply:
        """As any client would, but for what is in it."""
        return http2.exchange(self.request, self.patience_seconds)


@dataclasses.dataclass(frozen=True)
class Frames:
    """Frames as they are, on a connection of their own; the reply is that of one stream."""

    data: bytes
    stream: int = 1
    patience_seconds: float = PATIENCE_SECONDS
    shares: bool = False

    def run(self, http2: wire.Http2) -> wire.Reply:
        """All at once."""
        http2.send(self.data)
        return http2.wait([self.stream], self.patience_seconds)[self.stream]


@dataclasses.dataclass(frozen=True)
class Http1:
    """HTTP/1 as it is; the way must open with nothing."""

    data: bytes
    patience_seconds: float = PATIENCE_SECONDS
    shares: bool = False

    def run(self, http2: wire.Http2) -> wire.Reply:
        """One response is read."""
        return wire.exchange_http1(http2.connection, self.data, self.patience_seconds)


@dataclasses.dataclass(frozen=True)
class Steps:
    """Something that takes more than bytes; `data` describes it."""

    data: bytes
    steps: Callable[[wire.Http2], wire.Reply]
    shares: bool = False

    def run(self, http2: wire.Http2) -> wire.Reply:
        """Whatever it is."""
        return self.steps(http2)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One thing that is tried.

    Attributes:
        id: `<class>/<name>`, the same in every run.
        what: in words.
        way: over which connection.
        attempt: what is sent.
        trace: its W3C trace id, 32 hex digits, by which the apps' logs name it.
        entitled: a positive control: it has to be carried out.
        permits: of a variant that is allowed if it is read in one way: whether what was
            carried out, by its reply, is that. None: it must not reach a service at all.
        rpc: with `permits`, what is called; the service may make calls of its own for it.
        grpc: whether a refusal has to come as a gRPC status once it is answered.
    """

    id: str
    what: str
    way: Way
    attempt: Attempt
    trace: str
    entitled: bool = False
    permits: Callable[[wire.Reply], bool] | None = None
    rpc: str = ""
    grpc: bool = True

    @property
    def fingerprint(self) -> str:
        """Differs from another's where what is sent does: trace and request ids do not count,
        nor does a certificate's signature.
        """
        data = self.attempt.data
        for made in (self.trace, uuid_of(self.trace)):
            data = data.replace(made.encode(), b"0" * len(made))
        chain = [_unsigned(der) for der in self.way.identity.chain] if self.way.identity else []
        seen = (self.way.endpoint, self.way.script, self.way.opening, chain, data)
        return hashlib.sha256(repr(seen).encode()).hexdigest()


def _unsigned(certificate: bytes) -> bytes:
    try:
        return der.signed_part(certificate)
    except IndexError:
        return certificate  # one that is none


def uuid_of(trace: str) -> str:
    """A request id that belongs to a trace."""
    return "-".join((trace[:8], trace[8:12], trace[12:16], trace[16:20], trace[20:32]))
