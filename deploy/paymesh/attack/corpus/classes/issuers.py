"""Class 21: who signed, for what, and when.

CVE-2022-21657 (Envoy and extended key usage), CVE-2021-3450 and CVE-2002-0862 (leaves that
signed like authorities), CVE-2020-0601 (a root with another's key), CVE-2022-25640.
"""

from __future__ import annotations

import dataclasses
import datetime as dt

from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.attack.corpus import certificates as certs
from paymesh.attack.corpus import der
from paymesh.attack.corpus.calls import Maker
from paymesh.attack.corpus.certificates import Authority, Certificate, basic, purposes, uri, usage
from paymesh.attack.corpus.classes import chains
from paymesh.attack.wire import tls13

TITLE = "issuers, usages, validity and keys"

_OTHER_PURPOSES = {
    "server": certs.SERVER_AUTH,
    "code": "1.3.6.1.5.5.7.3.3",
    "email": "1.3.6.1.5.5.7.3.4",
}


def add(maker: Maker) -> None:
    """The right name each time; who vouches for it, or for how long, is what is wrong."""
    _validity(maker)
    _extensions(maker)
    _foreign(maker)
    _below(maker)
    _keys(maker)
    chains.control(maker)


def _right(maker: Maker, **changes: object) -> Certificate:
    name = uri(maker.ground.mesh.spiffe_id("payments"))
    return dataclasses.replace(maker.ground.certificate(name), **changes)  # type: ignore[arg-type]


def _validity(maker: Maker) -> None:
    now, hour = maker.ground.now, dt.timedelta(hours=1)
    for name, (begin, end) in {
        "expired": (now - 2 * hour, now - hour),
        "expired-by-a-second": (now - hour, now - dt.timedelta(seconds=1)),
        "expired-long-ago": (now - 9000 * hour, now - 8000 * hour),
        "not-yet": (now + hour, now + 2 * hour),
        "not-yet-by-a-minute": (now + dt.timedelta(minutes=1), now + hour),
        "ends-before-it-begins": (now + hour, now - hour),
        "never-began": (
            dt.datetime(2090, 1, 1, tzinfo=dt.UTC),
            dt.datetime(2091, 1, 1, tzinfo=dt.UTC),
        ),
    }.items():
        chains.attempt(maker, name, "validity", _right(maker, begin=begin, end=end))


def _extensions(maker: Maker) -> None:
    """A leaf that is an authority, may not sign in a handshake, or says something unknown."""
    right = _right(maker)
    usual = right.usual(maker.ground.material.authority)
    key_usage, eku, constraints, *rest = usual
    for name, extensions in {
        "usage-none": (usage(), eku, constraints, *rest),
        "usage-cert-sign": (usage(certs.CERT_SIGN), eku, constraints, *rest),
        "usage-crl-sign": (usage(certs.CRL_SIGN), eku, constraints, *rest),
        "usage-key-encipherment": (usage(certs.KEY_ENCIPHERMENT), eku, constraints, *rest),
        "unknown-critical": (*usual, certs.extension("1.2.3.4.5", b"\x05\x00", critical=True)),
        "constraints-twice": (*usual, basic(ca=True)),
        "constraints-broken": (key_usage, eku, certs.extension(certs.BASIC, b"\xff"), *rest),
    }.items():
        chains.attempt(maker, name, "extensions", dataclasses.replace(right, extensions=extensions))
    for name, purpose in _OTHER_PURPOSES.items():
        # Envoy 1.40 does not look at them, and SPIRE gives no certificate for another purpose.
        extensions = (key_usage, purposes(purpose), constraints, *rest)
        chains.attempt(
            maker,
            f"control@purpose-{name}",
            "for another purpose, which is not asked for",
            dataclasses.replace(right, extensions=extensions),
            entitled=True,
        )
    for name, changes in {
        "version-1-with-extensions": {"version": None},
        "version-2-with-extensions": {"version": 1},
        "version-9": {"version": 8},
        "algorithm-differs": {"algorithm": "1.2.840.113549.1.1.11"},
        "issuer-other": {"issuer": der.name((certs.COMMON_NAME, "elsewhere"))},
        "issuer-empty": {"issuer": der.name()},
    }.items():
        chains.attempt(maker, name, "fields", dataclasses.replace(right, **changes))  # type: ignore[arg-type]


def _foreign(maker: Maker) -> None:
    """Authorities that the mesh does not know, some with the known one's name and key id."""
    real = maker.ground.material.authority
    key = ec.generate_private_key(ec.SECP256R1())
    own = Certificate(key.public_key(), ca=True, subject=der.name((certs.COMMON_NAME, "own")))
    own = dataclasses.replace(own, issuer=own.subject)
    root = own.authority(Authority(b"", key, own.subject, b"own"), key)
    twin = Authority(real.certificate, key, real.subject, real.key_id)
    right = _right(maker)
    chains.attempt(maker, "foreign", "another authority", right, by=root)
    chains.attempt(maker, "foreign-with-root", "and its root", right, root.certificate, by=root)
    chains.attempt(
        maker, "foreign-with-real-root", "and the mesh's", right, real.certificate, by=root
    )
    chains.attempt(maker, "twin", "the name and key id of the mesh's authority", right, by=twin)
    chains.attempt(maker, "twin-with-root", "and its certificate", right, real.certificate, by=twin)
    itself = Authority(b"", maker.ground.key, certs.SUBJECT, b"x")
    chains.attempt(maker, "self-signed", "by its own key", right, by=itself)
    signed = right.signed(real)
    chains.attempt(maker, "signature-cut", "a signature that is none", signed[:-1])
    chains.attempt(
        maker, "signature-flipped", "one bit of it", signed[:-1] + bytes([signed[-1] ^ 1])
    )
    chains.attempt(maker, "not-a-certificate", "nothing of the kind", b"\x30\x03\x02\x01\x00")
    chains.attempt(maker, "empty-certificate", "no bytes", b"")
    chains.attempt(maker, "trailing-bytes", "more behind it", signed + b"\0")


def _below(maker: Maker) -> None:
    """Certificates that one holds with a key, and that sign on as if they were an authority's."""
    ground = maker.ground
    real = ground.material.authority
    key = ec.generate_private_key(ec.SECP256R1())
    own_name = uri(ground.mesh.spiffe_id("bank-link"))
    held = Certificate(key.public_key(), (own_name,))
    for name, middle in {
        "leaf-signs": held,
        "leaf-signs-with-usage": dataclasses.replace(
            held, extensions=(usage(certs.CERT_SIGN), basic(ca=False), certs.names(own_name))
        ),
        "leaf-without-constraints": dataclasses.replace(
            held, extensions=(usage(certs.CERT_SIGN), certs.names(own_name))
        ),
        "authority-without-usage": dataclasses.replace(
            held, ca=True, extensions=(usage(certs.DIGITAL_SIGNATURE), basic(ca=True))
        ),
        "authority-expired": dataclasses.replace(
            held, ca=True, san=(), begin=ground.now - dt.timedelta(hours=2),
            end=ground.now - dt.timedelta(hours=1),
        ),
        "authority-version-1": dataclasses.replace(held, version=None, extensions=()),
        "authority-for-other-names": dataclasses.replace(
            held, ca=True, san=(), extra=(_only("elsewhere.example"),)
        ),
    }.items():  # fmt: skip
        signer = middle.authority(real, key)
        chains.attempt(maker, name, "a chain of two", _right(maker), signer.certificate, by=signer)
    root_as_leaf = tls13.Identity((real.certificate,), real.key)
    chains.show(maker, "root-as-leaf", "the authority itself", root_as_leaf)
    as_authority = _right(maker, ca=True)
    chains.attempt(maker, "authority-as-leaf", "an authority with the name", as_authority)


def _only(domain: str) -> bytes:
    """Name constraints: URIs of this host only (RFC 5280, 4.2.1.10), critical."""
    permitted = der.tlv(0xA0, der.tlv(der.SEQUENCE, der.tlv(0x86, domain.encode())))
    return certs.extension(certs.CONSTRAINTS, der.tlv(der.SEQUENCE, permitted), critical=True)


def _keys(maker: Maker) -> None:
    """The right certificate in the wrong hands."""
    ground = maker.ground
    leaf = _right(maker).signed(ground.material.authority)
    other = tls13.Identity((leaf,), ec.generate_private_key(ec.SECP256R1()))
    chains.show(maker, "other-key", "signed with another key", other)
    held = tls13.Identity((leaf,), ground.key)
    hello = tls13.Hello()
    for name, script in {
        "signature-empty": tls13.Script(hello, signature=b""),
        "signature-zeros": tls13.Script(hello, signature=b"\x30\x06\x02\x01\x00\x02\x01\x00"),
        "scheme-rsa": tls13.Script(hello, scheme=0x0804),
        "scheme-sha-1": tls13.Script(hello, scheme=0x0203),
        "scheme-none": tls13.Script(hello, scheme=0x0000),
        "no-verify": tls13.Script(hello, without=frozenset({"verify"})),
    }.items():
        chains.show(maker, name, "the handshake's signature", held, script)
    mine = ground.certificate(uri(ground.mesh.spiffe_id("bank-link")))
    behind = tls13.Identity((mine.signed(ground.material.authority), leaf), ground.key)
    chains.show(maker, "right-one-behind", "one's own first, the right one behind it", behind)
    before = tls13.Identity(
        (leaf, mine.signed(ground.material.authority)), ec.generate_private_key(ec.SECP256R1())
    )
    chains.show(maker, "right-one-before", "the right one first, without its key", before)
