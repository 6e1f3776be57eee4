"""The TLS 1.3 client by hand: RFC 8448's numbers, and a handshake with a library's server."""

from __future__ import annotations

import datetime as dt
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.attack import wire
from paymesh.attack.wire import tls13
from paymesh.attack.wire.tls13 import schedule

_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER


def test_the_key_schedule_is_the_rfcs() -> None:
    """RFC 8448, section 3: the early secret, what is derived of it, and the handshake secret."""
    early = schedule.mac(schedule.NONE, schedule.NONE)
    assert early.hex() == "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"
    derived = schedule.derive(early, "derived", b"")
    assert derived.hex() == "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"
    shared = bytes.fromhex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d")
    handshake = schedule.mac(derived, shared)
    assert handshake.hex() == "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"


def test_traffic_keys_are_the_rfcs() -> None:
    """The same section: key and IV of the server's handshake traffic."""
    secret = bytes.fromhex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
    assert schedule.expand(secret, "key", b"", 16).hex() == "3fce516009c21727d0f2e4e86ee403bc"
    assert schedule.expand(secret, "iv", b"", 12).hex() == "5d313eb2671276ee13000b30"


def test_what_is_sealed_is_opened_once() -> None:
    """A record is read by who has the key, in its turn, and by nobody else."""
    record = schedule.Protection(b"k" * 32).seal(23, b"content")
    reader = schedule.Protection(b"k" * 32)
    assert reader.open(record[:5], record[5:]) == (23, b"content")
    for other in (reader, schedule.Protection(b"x" * 32)):
        with pytest.raises(ValueError, match="does not decrypt"):
            other.open(record[:5], record[5:])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tls13.Identity]:
    """One that signs itself, as a file for the server and as the client's identity."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "both")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    secret = key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(_PEM) + secret)
    return path, tls13.Identity((made.public_bytes(_DER),), key)


@contextmanager
def _server(path: Path) -> Iterator[tuple[wire.Tcp, list[str]]]:
    """A library's server that asks for a certificate of this one authority, and echoes; what
    went wrong in its handshake or, if nothing did, which certificate it saw.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.load_verify_locations(path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            plain, _ = listening.accept()
            with plain:
                plain.settimeout(5)
                try:
                    with context.wrap_socket(plain, server_side=True) as stream:
                        shown = stream.getpeercert(binary_form=True) or b""
                        seen.append(hashlib.sha256(shown).hexdigest())
                        stream.sendall(stream.recv(100).upper())
                except (ssl.SSLError, OSError) as error:
                    seen.append(getattr(error, "reason", None) or type(error).__name__)

        thread = threading.Thread(target=serve)
        thread.start()
        yield wire.Tcp("127.0.0.1", listening.getsockname()[1]), seen
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.mark.parametrize("piece_bytes", [1, 7, 16384])
def test_a_handshake_that_is_right_is_accepted(
    certificate: tuple[Path, tls13.Identity], piece_bytes: int
) -> None:
    """A library's server sees the client's certificate and understands what is sent."""
    path, identity = certificate
    with _server(path) as (endpoint, seen):
        script = tls13.Script(tls13.Hello(sni=(b"x",)), piece_bytes=piece_bytes)
        with tls13.handshake(endpoint, identity, script) as connection:
            assert connection.send(b"hello")
            assert connection.read(time.monotonic() + 5) == b"HELLO"
            assert connection.tickets > 0
    assert seen == [hashlib.sha256(identity.chain[0]).hexdigest()]


_WITHOUT = {
    "certificate": tls13.Script(without=frozenset({"certificate", "verify"})),
    "verify": tls13.Script(without=frozenset({"verify"})),
    "finished": tls13.Script(without=frozenset({"finished"})),
    "signature": tls13.Script(signature=b""),
    "version": tls13.Script(tls13.Hello(versions=(0x0303,))),
    "protocol": tls13.Script(tls13.Hello(ciphers=(0x1399,))),
}


@pytest.mark.parametrize("case", _WITHOUT)
def test_a_handshake_that_is_wrong_is_sent_as_it_is(
    certificate: tuple[Path, tls13.Identity], case: str
) -> None:
    """What is left out or spoilt reaches the server so, and its refusal is told."""
    path, identity = certificate
    with (
        _server(path) as (endpoint, seen),
        tls13.handshake(endpoint, identity, _WITHOUT[case]) as connection,
    ):
        connection.send(b"hello")
        assert connection.read(time.monotonic() + 5) == b""
        assert connection.failure
    assert len(seen) == 1
    assert len(seen[0]) < 64, "the server saw a certificate"


def test_another_key_is_found_out(certificate: tuple[Path, tls13.Identity]) -> None:
    """A certificate is sent with a signature of a key that is not its own."""
    path, identity = certificate
    thief = tls13.Identity(identity.chain, ec.generate_private_key(ec.SECP256R1()))
    with _server(path) as (endpoint, seen), tls13.handshake(endpoint, thief) as connection:
        assert connection.read(time.monotonic() + 5) == b""
        assert connection.failure.startswith("alert")
    assert "SIGNATURE" in seen[0].upper()
