"""What came back, and how the exchange ended."""

from __future__ import annotations

import dataclasses
from typing import Literal

from paymesh.attack.wire.hpack import Field

End = Literal["answered", "reset", "goaway", "closed", "timeout"]
"""A whole response; RST_STREAM; GOAWAY; the connection is gone; nothing within the time."""


@dataclasses.dataclass(frozen=True)
class Reply:
    """The end of one exchange.

    Attributes:
        end: how it ended.
        status: HTTP status, when a response began.
        headers: of the response, trailers last, as they came.
        body: at most the reader's limit of bytes.
        code: error code of RST_STREAM or GOAWAY (RFC 9113, 7).
        detail: debug data of a GOAWAY, the TLS alert, or the system's error.
    """

    end: End
    status: int | None = None
    headers: tuple[Field, ...] = ()
    body: bytes = b""
    code: int | None = None
    detail: str = ""

    def header(self, name: str) -> str | None:
        """The last header or trailer of this name."""
        wanted = name.encode()
        found = [value for key, value in self.headers if key == wanted]
        return found[-1].decode("utf-8", "replace") if found else None

    @property
    def grpc_status(self) -> int | None:
        """The gRPC status code, if one was sent."""
        text = self.header("grpc-status")
        return int(text) if text is not None and text.isdigit() else None

    @property
    def reason(self) -> str | None:
        """Paymesh's machine-readable reason of a refusal."""
        return self.header("x-paymesh-reason")

    @property
    def decision_id(self) -> str | None:
        """Which decision refused it."""
        return self.header("x-paymesh-decision-id")

    def __str__(self) -> str:
        words: list[str] = [self.end]
        for name, value in (
            ("http", self.status),
            ("grpc", self.grpc_status),
            ("code", self.code),
            ("reason", self.reason),
            ("detail", self.detail or None),
        ):
            if value is not None:
                words.append(f"{name}={value}")
        return " ".join(words)
