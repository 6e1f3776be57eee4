"""The ClientHello (RFC 8446, 4.1.2), every part of it the caller's own."""

from __future__ import annotations

import dataclasses
import struct

from paymesh.attack.wire.tls13 import schedule

_CLIENT_HELLO = 1
_SNI, _GROUPS, _SIGNATURES, _ALPN, _EARLY, _VERSIONS, _PSK_MODES, _KEY_SHARE = (
    *(0, 10, 13, 16, 42, 43, 45, 51),
)
_PSK = 41
_X25519 = 0x001D
TLS13, TLS12 = 0x0304, 0x0303
AES128 = 0x1301
# ECDSA P-256, RSA-PSS, ECDSA P-384, RSA PKCS #1.
_SCHEMES = (0x0403, 0x0804, 0x0503, 0x0401)


def vector(data: bytes, length_bytes: int) -> bytes:
    """Data behind its length."""
    return len(data).to_bytes(length_bytes, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    """One extension."""
    return struct.pack(">H", kind) + vector(data, 2)


@dataclasses.dataclass(frozen=True)
class Hello:
    """What is offered.

    Attributes:
        sni: server names as they are; none sends no extension.
        alpn: protocols as they are, empty and over-long ones too.
        versions: in supported_versions; none sends no extension.
        legacy_version: the field that TLS 1.2 went by.
        ciphers: the suites.
        session_id: at most 32 bytes by the RFC.
        compression: the methods.
        early: whether early data is announced.
        extra: more extensions, whole.
        psk: a ticket and its key, offered last as the RFC wants it.
        psk_modes: how it would be used: 0 alone, 1 with a key exchange.
    """

    sni: tuple[bytes, ...] = ()
    alpn: tuple[bytes, ...] = (b"h2",)
    versions: tuple[int, ...] = (TLS13,)
    legacy_version: int = TLS12
    ciphers: tuple[int, ...] = (AES128,)
    session_id: bytes = bytes(32)
    compression: bytes = b"\0"
    early: bool = False
    extra: tuple[bytes, ...] = ()
    psk: tuple[bytes, bytes] | None = None
    psk_modes: bytes = b"\1"

    def message(self, random: bytes, public: bytes) -> bytes:
        """The handshake message; `public` is an X25519 key share."""
        body = struct.pack(">H", self.legacy_version) + random + vector(self.session_id, 1)
        body += vector(b"".join(struct.pack(">H", suite) for suite in self.ciphers), 2)
        body += vector(self.compression, 1)
        extensions = self._extensions(public)
        if self.psk is None:
            return _message(body + vector(extensions, 2))
        ticket, key = self.psk
        # The binder covers the message up to itself (4.2.11.2).
        whole = _message(body + vector(extensions + psk_extension(ticket, schedule.NONE), 2))
        binder_key = schedule.derive(schedule.mac(schedule.NONE, key), "res binder", b"")
        cut = whole[: -(schedule.HASH_BYTES + 3)]
        return cut + vector(vector(schedule.finished(binder_key, cut), 1), 2)

    def _extensions(self, public: bytes) -> bytes:
        parts = []
        if self.sni:
            names = b"".join(b"\0" + vector(name, 2) for name in self.sni)
            parts.append(extension(_SNI, vector(names, 2)))
        parts.append(extension(_GROUPS, vector(struct.pack(">H", _X25519), 2)))
        schemes = b"".join(struct.pack(">H", scheme) for scheme in _SCHEMES)
        parts.append(extension(_SIGNATURES, vector(schemes, 2)))
        if self.alpn:
            protocols = b"".join(vector(name, 1) for name in self.alpn)
            parts.append(extension(_ALPN, vector(protocols, 2)))
        if self.versions:
            versions = b"".join(struct.pack(">H", version) for version in self.versions)
            parts.append(extension(_VERSIONS, vector(versions, 1)))
        share = struct.pack(">H", _X25519) + vector(public, 2)
        parts.append(extension(_KEY_SHARE, vector(share, 2)))
        if self.psk is not None:
            parts.append(extension(_PSK_MODES, vector(self.psk_modes, 1)))
        if self.early:
            parts.append(extension(_EARLY, b""))
        return b"".join((*parts, *self.extra))


def psk_extension(ticket: bytes, binder: bytes) -> bytes:
    """pre_shared_key with one ticket (4.2.11)."""
    identities = vector(vector(ticket, 2) + bytes(4), 2)
    return extension(_PSK, identities + vector(vector(binder, 1), 2))


def _message(body: bytes) -> bytes:
    return bytes([_CLIENT_HELLO]) + vector(body, 3)
