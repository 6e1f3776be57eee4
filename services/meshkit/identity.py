"""SPIFFE IDs as values that never equal a string.

Source: SPIFFE-ID standard, sections 2.1 to 2.4. Paymesh's own shape is
`spiffe://<trust domain>/ns/<namespace>/sa/<workload>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SCHEME = "spiffe://"
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[a-zA-Z0-9._-]+")
_MAX_LENGTH_BYTES = 2048
_MESH_SEGMENTS = 4  # ns, <namespace>, sa, <workload>


class InvalidSpiffeIdError(ValueError):
    """The text is not a SPIFFE ID; the message says which rule it breaks."""


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """A SPIFFE ID: trust domain and path segments. `str()` gives the URI back.

    >>> str(SpiffeId.parse("spiffe://paymesh.internal/ns/paymesh/sa/ledger"))
    'spiffe://paymesh.internal/ns/paymesh/sa/ledger'
    """

    trust_domain: str
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> SpiffeId:
        """Parse a SPIFFE ID byte for byte; nothing is normalised. Raises InvalidSpiffeIdError."""
        if len(text) > _MAX_LENGTH_BYTES:
            raise InvalidSpiffeIdError(f"a SPIFFE ID has at most {_MAX_LENGTH_BYTES} bytes")
        if not text.startswith(_SCHEME):
            raise InvalidSpiffeIdError("a SPIFFE ID begins with spiffe:// in lower case")
        trust_domain, slash, path = text[len(_SCHEME) :].partition("/")
        if not _TRUST_DOMAIN.fullmatch(trust_domain):
            raise InvalidSpiffeIdError("a trust domain is made of a-z, 0-9, dot, hyphen and _")
        segments = tuple(path.split("/")) if slash else ()
        for segment in segments:
            if not _SEGMENT.fullmatch(segment) or segment in {".", ".."}:
                raise InvalidSpiffeIdError(
                    "a path segment is made of letters, digits, dot, hyphen and _"
                )
        return cls(trust_domain, segments)

    @classmethod
    def of_workload(cls, trust_domain: str, namespace: str, workload: str) -> SpiffeId:
        """Build the SPIFFE ID that Paymesh gives to a workload."""
        return cls.parse(f"{_SCHEME}{trust_domain}/ns/{namespace}/sa/{workload}")

    @property
    def path(self) -> str:
        """The path with its leading slash, empty for the trust domain itself."""
        return "".join(f"/{segment}" for segment in self.segments)

    @property
    def workload(self) -> str:
        """The workload's name, such as `ledger`; empty when the path has another shape."""
        return self.segments[3] if self._is_mesh_shape() else ""

    @property
    def namespace(self) -> str:
        """The namespace; empty when the path has another shape."""
        return self.segments[1] if self._is_mesh_shape() else ""

    def _is_mesh_shape(self) -> bool:
        return (
            len(self.segments) == _MESH_SEGMENTS
            and self.segments[0] == "ns"
            and self.segments[2] == "sa"
        )

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}{self.path}"
