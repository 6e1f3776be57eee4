"""Class 20: several names, names of other kinds, and names in other places.

CVE-2021-44531 to 44533 (Node.js: URIs, quoted names, subjects of several parts), CVE-2025-66220
(Envoy, otherName). An SVID has exactly one URI (SPIFFE X509-SVID, 2).
"""

from __future__ import annotations

from paymesh.attack.corpus import certificates as certs
from paymesh.attack.corpus import der
from paymesh.attack.corpus.calls import Maker
from paymesh.attack.corpus.certificates import dns, email, other_name, uri
from paymesh.attack.corpus.classes import chains

TITLE = "several names, and names of other kinds"

_UPN = "1.3.6.1.4.1.311.20.2.3"
_SMTP_UTF8 = "1.3.6.1.5.5.7.8.9"


def add(maker: Maker) -> None:
    """The ID of payments beside others, as another kind of name, or where no name belongs."""
    ground = maker.ground
    payments = ground.mesh.spiffe_id("payments")
    stranger = ground.mesh.spiffe_id("bank-link")
    for name, san in _names(payments, stranger).items():
        chains.attempt(maker, name, "names", ground.certificate(*san))
    for name, subject in _subjects(payments).items():
        leaf = ground.certificate(uri(stranger), subject=subject)
        chains.attempt(maker, f"subject-{name}", "in the subject", leaf)
        leaf = ground.certificate(subject=subject)
        chains.attempt(maker, f"subject-alone-{name}", "in the subject, without names", leaf)
    authority = ground.material.authority
    usual = ground.certificate(uri(stranger)).usual(authority)
    right, wrong = certs.names(uri(payments)), certs.names(uri(stranger))
    for name, extensions in {
        "extension-twice": (*usual, right),
        "extension-first": (right, *usual),
        "issuer-alternative": (*usual, certs.extension("2.5.29.18", _sequence(uri(payments)))),
        "netscape-comment": (*usual, certs.extension("2.16.840.1.113730.1.13", uri(payments))),
        "critical-and-not": (*usual[:-1], wrong, certs.names(uri(payments), critical=True)),
        "names-cut": (*usual[:-1], certs.extension(certs.SAN, _sequence(uri(payments))[:-3])),
        "names-not-a-sequence": (*usual[:-1], certs.extension(certs.SAN, uri(payments))),
        "names-trailing": (
            *usual[:-1],
            certs.extension(certs.SAN, _sequence(uri(payments)) + b"x"),
        ),
    }.items():
        chains.attempt(maker, name, "extensions", ground.certificate(extensions=extensions))
    chains.control(maker)


def _names(payments: str, stranger: str) -> dict[str, tuple[bytes, ...]]:
    text = payments.encode()
    ia5, utf8 = der.tlv(der.IA5, text), der.tlv(der.UTF8, text)
    bmp = der.tlv(der.BMP, payments.encode("utf-16-be"))
    return {
        "stranger": (uri(stranger),),
        "stranger-payments": (uri(stranger), uri(payments)),
        "payments-stranger": (uri(payments), uri(stranger)),
        "payments-twice": (uri(payments), uri(payments)),
        "payments-and-https": (uri(payments), uri("https://elsewhere.example")),
        "many": (*(uri(f"{stranger}{number}") for number in range(50)), uri(payments)),
        "payments-and-empty": (uri(payments), uri("")),
        "dns": (dns(text),),
        "dns-stranger": (uri(stranger), dns(text)),
        "dns-short": (uri(stranger), dns("payments.paymesh.internal")),
        "dns-wildcard": (uri(stranger), dns("*.paymesh.internal")),
        "email": (email(payments),),
        "email-stranger": (uri(stranger), email(payments)),
        "other-upn": (other_name(_UPN, utf8),),
        "other-upn-stranger": (uri(stranger), other_name(_UPN, utf8)),
        "other-ia5": (uri(stranger), other_name(_UPN, ia5)),
        "other-nul": (uri(stranger), other_name(_UPN, der.tlv(der.UTF8, text + b"\0x"))),
        "other-smtp": (uri(stranger), other_name(_SMTP_UTF8, utf8)),
        "other-bmp": (uri(stranger), other_name(_UPN, bmp)),
        "ip": (uri(stranger), der.tlv(0x87, b"\x7f\0\0\x01")),
        "ip-as-text": (der.tlv(0x87, text),),
        "registered-id": (uri(stranger), der.tlv(0x88, text)),
        "directory": (uri(stranger), der.tlv(0xA4, der.name((certs.COMMON_NAME, payments)))),
        "x400": (uri(stranger), der.tlv(0xA3, ia5)),
        "edi": (uri(stranger), der.tlv(0xA5, der.tlv(0xA1, utf8))),
        "constructed-uri": (der.tlv(0xA6, ia5),),
        "unknown-kind": (der.tlv(0x89, text),),
        "none": (),
    }  # fmt: skip


def _subjects(payments: str) -> dict[str, bytes]:
    common = certs.COMMON_NAME
    return {
        "common-name": der.name((common, payments)),
        "common-name-short": der.name((common, "payments")),
        "two-common-names": der.name((common, "bank-link"), (common, payments)),
        "user-id": der.name(("0.9.2342.19200300.100.1.1", payments)),
        "email": der.name(("1.2.840.113549.1.9.1", payments)),
        "unit": der.name(("2.5.4.11", payments)),
    }


def _sequence(*parts: bytes) -> bytes:
    return der.tlv(der.SEQUENCE, *parts)
