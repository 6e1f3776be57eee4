"""For tests: throwaway certificates, options with port 0, and an HTTPS client.

options, ca = prepare(directory)
async with running(options) as (cards_port, banks_port):
    async with client(CARDS_HOST, cards_port, ca) as http: ...
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from simulators.options import BANK_DATA, CARD_PROCESSOR, Options

CARDS_HOST = "api.cards.test"
BANKS_HOST = "api.banks.test"
API_KEY = "test-key-of-nothing"

_DAY = dt.timedelta(days=1)
_TIMEOUT_SECONDS = 8.0


def prepare(directory: Path, address: str = "127.0.0.1") -> tuple[Options, Path]:
    """Options with state and certificates below `directory`, and the CA's PEM file."""
    tls = directory / "tls"
    ca = make_certificates(tls)
    digest = hashlib.sha256(API_KEY.encode()).digest()
    options = Options(
        address=address,
        cards_port=0,
        banks_port=0,
        tls_dir=tls,
        state_dir=directory / "state",
        key_digests={CARD_PROCESSOR: digest, BANK_DATA: digest},
    )
    return options, ca


def client(
    host: str, port: int, ca: Path, *, key: str = API_KEY, address: str = "127.0.0.1"
) -> httpx.AsyncClient:
    """Talks to `address`:`port` as though it were `host`: Host header, SNI and certificate."""
    return httpx.AsyncClient(
        base_url=f"https://{address}:{port}",
        headers={"Host": host} | ({"Authorization": f"Bearer {key}"} if key else {}),
        timeout=_TIMEOUT_SECONDS,
        transport=_NamedHost(host, ssl.create_default_context(cafile=ca)),
    )


def make_certificates(directory: Path) -> Path:
    """Writes cards.{crt,key}, banks.{crt,key} and ca.pem, good for a day; gives ca.pem."""
    directory.mkdir(parents=True, exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "simulators test CA")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    ca = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    ca_file = directory / "ca.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    for name, host in (("cards", CARDS_HOST), ("banks", BANKS_HOST)):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        certificate = (
            _builder(subject, ca_name, key)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
                critical=False,
            )
            .sign(ca_key, hashes.SHA256())
        )
        (directory / f"{name}.crt").write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
        )
        (directory / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return ca_file


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


class _NamedHost(httpx.AsyncHTTPTransport):
    def __init__(self, host: str, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls)
        self._host = host

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": self._host}
        return await super().handle_async_request(request)
