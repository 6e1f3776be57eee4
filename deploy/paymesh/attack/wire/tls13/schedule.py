"""TLS 1.3's key schedule (RFC 8446, 7.1) for SHA-256 and AES-128-GCM."""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HASH_BYTES = 32
_KEY_BYTES, _IV_BYTES = 16, 12
_APPLICATION_DATA = 23
NONE = bytes(HASH_BYTES)


def digest(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC with SHA-256; also HKDF-Extract with the salt as key."""
    return hmac.digest(key, data, "sha256")


def expand(secret: bytes, label: str, context: bytes, length: int) -> bytes:
    """HKDF-Expand-Label for at most one hash of output."""
    name = b"tls13 " + label.encode()
    info = struct.pack(">HB", length, len(name)) + name + bytes([len(context)]) + context
    return mac(secret, info + b"\x01")[:length]


def derive(secret: bytes, label: str, transcript: bytes) -> bytes:
    """Derive-Secret of the messages so far."""
    return expand(secret, label, digest(transcript), HASH_BYTES)


def finished(traffic: bytes, transcript: bytes) -> bytes:
    """The verify_data of Finished (4.4.4), and of a PSK's binder (4.2.11.2)."""
    return mac(expand(traffic, "finished", b"", HASH_BYTES), digest(transcript))


class Protection:
    """One direction's records under one traffic secret (5.2)."""

    def __init__(self, traffic: bytes) -> None:
        self._aead = AESGCM(expand(traffic, "key", b"", _KEY_BYTES))
        self._iv = int.from_bytes(expand(traffic, "iv", b"", _IV_BYTES), "big")
        self._number = 0

    def seal(self, kind: int, data: bytes) -> bytes:
        """A whole record whose inner type is `kind`."""
        inner = data + bytes([kind])
        header = struct.pack(">BHH", _APPLICATION_DATA, 0x0303, len(inner) + 16)
        return header + self._aead.encrypt(self._nonce(), inner, header)

    def open(self, header: bytes, data: bytes) -> tuple[int, bytes]:
        """Inner type and content.

        Raises:
            ValueError: it is not from whoever has the key.
        """
        try:
            inner = self._aead.decrypt(self._nonce(), data, header).rstrip(b"\0")
        except InvalidTag:
            raise ValueError("a record does not decrypt") from None
        return inner[-1], inner[:-1]

    def _nonce(self) -> bytes:
        number, self._number = self._number, self._number + 1
        return (self._iv ^ number).to_bytes(_IV_BYTES, "big")
