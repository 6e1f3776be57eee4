"""A TLS 1.3 client (RFC 8446) written out by hand, because a library will not misbehave.

It shows a certificate and signs with a key that does not belong to it, leaves steps out, says
any bytes for a server name or a protocol, offers tickets that nobody gave. One cipher suite
(AES-128-GCM with SHA-256) and one group (X25519) are enough for that. It is a tool for trying
servers out and verifies nothing of theirs.
"""

from paymesh.attack.wire.tls13.client import Identity, Script, Tls13, handshake
from paymesh.attack.wire.tls13.hello import Hello, extension, psk_extension

__all__ = ["Hello", "Identity", "Script", "Tls13", "extension", "handshake", "psk_extension"]
