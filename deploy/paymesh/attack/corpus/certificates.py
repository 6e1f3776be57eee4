"""Certificates for the handshake, right in all but the one thing that is tried (RFC 5280)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.attack.corpus import der

_ECDSA_SHA256 = "1.2.840.10045.4.3.2"
_COUNTRY, _ORGANIZATION, COMMON_NAME = "2.5.4.6", "2.5.4.10", "2.5.4.3"
SERVER_AUTH, CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
SKI, KEY_USAGE, SAN, BASIC, CONSTRAINTS, AKI, EKU = (
    f"2.5.29.{number}" for number in (14, 15, 17, 19, 30, 35, 37)
)
# Bits of keyUsage, the first is the highest (4.2.1.3).
DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, KEY_AGREEMENT, CERT_SIGN, CRL_SIGN = 0, 2, 4, 5, 6
_LEAF_USAGE = (DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, KEY_AGREEMENT)
# As SPIRE writes it.
SUBJECT = der.name((_COUNTRY, "US"), (_ORGANIZATION, "SPIRE"))
_LIFE = dt.timedelta(hours=1)


def uri(text: bytes | str) -> bytes:
    """A GeneralName: uniformResourceIdentifier, any bytes."""
    return der.tlv(0x86, text.encode() if isinstance(text, str) else text)


def dns(text: bytes | str) -> bytes:
    """A GeneralName: dNSName, any bytes."""
    return der.tlv(0x82, text.encode() if isinstance(text, str) else text)


def email(text: str) -> bytes:
    """A GeneralName: rfc822Name."""
    return der.tlv(0x81, text.encode())


def other_name(kind: str, value: bytes) -> bytes:
    """A GeneralName: otherName; `value` is a whole element."""
    return der.tlv(0xA0, der.oid(kind), der.tlv(0xA0, value))


def extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    """One extension, `value` in its OCTET STRING."""
    flag = der.boolean(value=True) if critical else b""
    return der.tlv(der.SEQUENCE, der.oid(kind), flag, der.tlv(der.OCTETS, value))


def names(*general: bytes, critical: bool = False) -> bytes:
    """SubjectAltName."""
    return extension(SAN, der.tlv(der.SEQUENCE, *general), critical=critical)


def basic(*, ca: bool, path_length: int | None = None, critical: bool = True) -> bytes:
    """BasicConstraints."""
    parts = [der.boolean(value=True)] if ca else []
    if path_length is not None:
        parts.append(der.integer(path_length))
    return extension(BASIC, der.tlv(der.SEQUENCE, *parts), critical=critical)


def usage(*wanted: int, critical: bool = True) -> bytes:
    """KeyUsage with these bits."""
    mask = sum(0x80 >> bit for bit in wanted)
    unused = 7 - max(wanted) if wanted else 0
    value = der.bits(bytes([mask]), unused) if wanted else der.bits(b"")
    return extension(KEY_USAGE, value, critical=critical)


def purposes(*wanted: str, critical: bool = False) -> bytes:
    """ExtKeyUsage."""
    value = der.tlv(der.SEQUENCE, *(der.oid(purpose) for purpose in wanted))
    return extension(EKU, value, critical=critical)


def key_der(key: ec.EllipticCurvePublicKey) -> bytes:
    """SubjectPublicKeyInfo."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@dataclasses.dataclass(frozen=True, repr=False)
class Authority:
    """Who signs: its certificate, key, name and key identifier."""

    certificate: bytes
    key: ec.EllipticCurvePrivateKey
    subject: bytes
    key_id: bytes

    @classmethod
    def of(cls, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Authority:
        """The authority of a certificate that holds together."""
        key_id = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return cls(
            certificate.public_bytes(serialization.Encoding.DER),
            key,
            certificate.subject.public_bytes(),
            key_id.value.digest,
        )


@dataclasses.dataclass(frozen=True, repr=False)
class Certificate:
    """A certificate before it is signed. Extensions that are not said are those of SPIRE's.

    Attributes:
        key: whose public half stands in it.
        san: the GeneralNames; ignored where `extensions` are given.
        begin, end: its validity.
        ca: whether it is an authority's.
        extensions: all of them, whole; None for the usual ones.
        extra: after the usual ones.
        subject, issuer: Names; None: as SPIRE writes it, the authority's.
        version: 2 is X.509 version 3; None leaves it out, which is version 1.
        algorithm: the inner signature algorithm's OID; the outer one is the truth.
    """

    key: ec.EllipticCurvePublicKey
    san: tuple[bytes, ...] = ()
    begin: dt.datetime | None = None
    end: dt.datetime | None = None
    ca: bool = False
    extensions: tuple[bytes, ...] | None = None
    extra: tuple[bytes, ...] = ()
    subject: bytes = SUBJECT
    issuer: bytes | None = None
    version: int | None = 2
    algorithm: str = _ECDSA_SHA256

    def signed(self, authority: Authority) -> bytes:
        """The certificate, DER."""
        algorithm = der.tlv(der.SEQUENCE, der.oid(_ECDSA_SHA256))
        body = self._signed_part(authority)
        signature = authority.key.sign(body, ec.ECDSA(hashes.SHA256()))
        return der.tlv(der.SEQUENCE, body, algorithm, der.bits(signature))

    def authority(self, signer: Authority, key: ec.EllipticCurvePrivateKey) -> Authority:
        """The same as an authority: who has this certificate and its key can sign more."""
        return Authority(self.signed(signer), key, self.subject, _key_id(self.key))

    def usual(self, authority: Authority) -> tuple[bytes, ...]:
        """The extensions of an SVID from SPIRE, or of an authority below another."""
        return (
            usage(CERT_SIGN, CRL_SIGN) if self.ca else usage(*_LEAF_USAGE),
            *(() if self.ca else (purposes(SERVER_AUTH, CLIENT_AUTH),)),
            basic(ca=self.ca),
            extension(SKI, der.tlv(der.OCTETS, _key_id(self.key))),
            extension(AKI, der.tlv(der.SEQUENCE, der.tlv(0x80, authority.key_id))),
            *((names(*self.san),) if self.san else ()),
        )

    def _signed_part(self, authority: Authority) -> bytes:
        now = dt.datetime.now(dt.UTC)
        begin, end = self.begin or now - _LIFE, self.end or now + _LIFE
        extensions = self.usual(authority) if self.extensions is None else self.extensions
        version = b"" if self.version is None else der.tlv(0xA0, der.integer(self.version))
        listed = (*extensions, *self.extra)
        return der.tlv(
            der.SEQUENCE,
            version,
            der.integer(0x1F2E3D4C5B6A),
            der.tlv(der.SEQUENCE, der.oid(self.algorithm)),
            authority.subject if self.issuer is None else self.issuer,
            der.tlv(der.SEQUENCE, der.time(begin), der.time(end)),
            self.subject,
            key_der(self.key),
            der.tlv(0xA3, der.tlv(der.SEQUENCE, *listed)) if listed else b"",
        )


def _key_id(key: ec.EllipticCurvePublicKey) -> bytes:
    return hashlib.sha256(key_der(key)).digest()[:20]
