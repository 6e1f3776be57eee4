"""A throwaway certificate authority: SVIDs, server certificates, the files that Envoy reads."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs whatever it is asked to; lives as long as a test."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.bundle = self._certificate.public_bytes(serialization.Encoding.PEM)

    def svid(self, spiffe_id: str, dns_name: str) -> Pair:
        """An X.509-SVID as SPIRE makes them: the id as URI SAN, a DNS SAN beside it."""
        return self._issue([x509.UniformResourceIdentifier(spiffe_id), x509.DNSName(dns_name)])

    def server(self, dns_name: str) -> Pair:
        """A server certificate for one DNS name."""
        return self._issue([x509.DNSName(dns_name)])

    def _issue(self, names: list[x509.GeneralName]) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(x509.Name([]), self._name, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return Pair(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )


class Issuer:
    """Issues end users' tokens."""

    def __init__(self, issuer: str, audience: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._claims = {"iss": issuer, "aud": audience}

    def write_jwks(self, path: Path) -> None:
        """The public key, as the gateway reads it."""
        key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        keys = {"keys": [{**key, "kid": "test", "alg": "ES256", "use": "sig"}]}
        path.write_text(json.dumps(keys), encoding="utf-8")

    def token(self, *, lifetime_seconds: int = 60, **claims: object) -> str:
        """A token of user `alice`; `claims` replace the usual ones."""
        now = int(dt.datetime.now(dt.UTC).timestamp())
        payload = {**self._claims, "sub": "alice", "iat": now, "exp": now + lifetime_seconds}
        return jwt.encode(payload | claims, self._key, "ES256", {"kid": "test"})


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
