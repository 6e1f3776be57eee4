"""Keys and certificates that do not come from SPIRE.

Four authorities of this machine, each with one purpose and a key that only the
supervisor reads: nodes (the SPIRE agent shows one of its certificates to the
server), the edge (what end users' clients trust at the gateway), the providers
outside the mesh, and the policy bundle's signing key. All ECDSA P-256 (FIPS
186-5), renewed by `paymesh up` before they run out.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from paymesh.runtime.accounts import Account
from paymesh.runtime.files import read_regular, write_file

_LONGEST_PEM_BYTES = 64 << 10
_AUTHORITY_LIFE = dt.timedelta(days=3650)
_LEAF_LIFE = dt.timedelta(days=397)
# Clocks differ; a certificate that is valid from now on is refused by some.
_BACKDATED = dt.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True, repr=False)
class Authority:
    """A certificate authority: it signs leaves and nothing below them."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate, which everybody may read."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def ensure_authority(directory: Path, name: str) -> Authority:
    """The authority in `<name>.key` and `<name>.crt` below `directory`, made when missing,
    unreadable or in the last tenth of its life.
    """
    key_path, certificate_path = directory / f"{name}.key", directory / f"{name}.crt"
    found = _load(certificate_path, key_path)
    if found is not None and _is_fresh(found[0], _AUTHORITY_LIFE / 10):
        return Authority(*found)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"paymesh {name}")])
    usage = _usage(ca=True)
    certificate = (
        _builder(subject, subject, key.public_key(), _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    _store(certificate_path, key_path, certificate, key, None)
    return Authority(certificate, key)


def ensure_leaf(
    authority: Authority,
    certificate_path: Path,
    key_path: Path,
    *,
    common_name: str,
    names: Iterable[str] = (),
    client: bool = False,
    owner: Account | None = None,
) -> None:
    """A certificate signed by `authority`, made when missing, signed by another, for other
    names or in the last third of its life.

    Args:
        authority: who signs.
        certificate_path: PEM; readable by all.
        key_path: PKCS #8 PEM, mode 0400, of `owner`.
        common_name: subject.
        names: DNS names and IP addresses.
        client: for a TLS client in place of a server.
        owner: of the key.
    """
    wanted = sorted(names)
    found = _load(certificate_path, key_path)
    if (
        found is not None
        and found[0].issuer == authority.certificate.subject
        and _is_signed_by(found[0], authority)
        and _names(found[0]) == wanted
        and _is_fresh(found[0], _LEAF_LIFE / 3)
    ):
        _store(certificate_path, key_path, *found, owner)
        return
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    builder = (
        _builder(subject, authority.certificate.subject, key.public_key(), _LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    if wanted:
        general = [_general_name(name) for name in wanted]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    certificate = builder.sign(authority.key, hashes.SHA256())
    _store(certificate_path, key_path, certificate, key, owner)


def ensure_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """A P-256 key for signatures, PKCS #8 PEM, made when missing, mode 0600."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
    except (OSError, ValueError):
        pass
    key = ec.generate_private_key(ec.SECP256R1())
    write_file(path, _private_pem(key), 0o600)
    return key


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """SubjectPublicKeyInfo (RFC 5280) as PEM."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return sorted(str(general.value) for general in found)


def _is_signed_by(certificate: x509.Certificate, authority: Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # noqa: BLE001 — InvalidSignature, or anything that a damaged file brings
        return False
    return True


def _is_fresh(certificate: x509.Certificate, margin: dt.timedelta) -> bool:
    now = dt.datetime.now(dt.UTC)
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - margin


def _load(
    certificate_path: Path, key_path: Path
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    try:
        certificate = x509.load_pem_x509_certificate(
            read_regular(certificate_path, _LONGEST_PEM_BYTES)
        )
        key = serialization.load_pem_private_key(
            read_regular(key_path, _LONGEST_PEM_BYTES), password=None
        )
    except (OSError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return (certificate, key) if certificate.public_key() == key.public_key() else None


def _store(
    certificate_path: Path,
    key_path: Path,
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    owner: Account | None,
) -> None:
    write_file(key_path, _private_pem(key), 0o400, owner)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    write_file(certificate_path, pem, 0o444, owner)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
