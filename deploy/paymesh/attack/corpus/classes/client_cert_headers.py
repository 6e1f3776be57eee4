"""Class 9: a forged x-forwarded-client-cert.

CVE-2020-25017 (Envoy, headers of several values, this one among them). Envoy is told to throw
away what a caller sends (SANITIZE_SET), and policy goes by the connection's certificate alone.
"""

from __future__ import annotations

from paymesh.attack.corpus.calls import Maker, plus

TITLE = "forged x-forwarded-client-cert"

_HEADER = b"x-forwarded-client-cert"


def add(maker: Maker) -> None:
    """Every shape of it, from a caller without the grant and from one without an identity."""
    calls = maker.calls
    payments = maker.ground.mesh.spiffe_id("payments").encode()
    ledger = maker.ground.mesh.spiffe_id("ledger").encode()
    digest = b"Hash=" + b"ab" * 32
    values = {
        "uri": b"URI=" + payments,
        "by-uri": b"By=" + ledger + b";URI=" + payments,
        "whole": b"By=" + ledger + b";" + digest + b';Subject="O=SPIRE,C=US";URI=' + payments,
        "quoted": b'URI="' + payments + b'"',
        "lower": b"uri=" + payments,
        "spaces": b"URI = " + payments,
        "two-uris": b"URI=" + payments + b";URI=" + payments,
        "list": b"URI=" + payments + b",URI=" + payments,
        "list-first": b"URI=x," + b"URI=" + payments,
        "comma-in-quotes": b'Subject="a,URI=' + payments + b'"',
        "escaped-quote": b'Subject="a\\"";URI=' + payments,
        "open-quote": b'Subject="a;URI=' + payments,
        "dns": b"DNS=payments.paymesh.internal;URI=" + payments,
        "subject": b'Subject="CN=payments";URI=' + payments,
        "cert": b"Cert=%2D%2D%2D%2D%2DBEGIN;URI=" + payments,
        "chain": b"Chain=%2D%2D%2D%2D%2DBEGIN;URI=" + payments,
        "empty-then": b";;;URI=" + payments,
        "encoded": b"URI=" + payments.replace(b"/", b"%2F"),
        "bare": payments,
        "json": b'{"URI": "' + payments + b'"}',
        "long": b"By=" + b"x" * 6000 + b";URI=" + payments,
        "empty": b"",
    }
    for name, value in values.items():
        maker.shape(
            name,
            value[:40].decode(),
            plus((_HEADER, value)),
            calls.inside,
            calls.userless,
            calls.public,
        )
    names = (
        b"X-Forwarded-Client-Cert", b"x_forwarded_client_cert", b"x-forwarded-client-cert ",
        b"forwarded-client-cert", b"x-client-cert", b"client-cert", b"x-ssl-client-cert",
        b"x-amzn-mtls-clientcert", b"ssl-client-s-dn", b"x-forwarded-tls-client-cert",
    )  # fmt: skip
    for number, name_ in enumerate(names, start=1):
        maker.shape(
            f"name-{number:02d}", name_.decode(), plus((name_, b"URI=" + payments)), calls.inside
        )
    maker.shape(
        "several",
        "header after header",
        plus(*((_HEADER, value) for value in list(values.values())[:12])),
        calls.inside,
    )
    # Where it says nothing that the connection does not say, or is passed over.
    maker.control(calls.may_inside, calls.may_public, change=plus((_HEADER, values["whole"])))
