"""What check makes of the certificates that an Envoy has."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from paymesh.checks.kube.identities import wrong_certificates

_OWN = "spiffe://paymesh.internal/ns/paymesh/sa/ledger"
_OTHER = "spiffe://paymesh.internal/ns/paymesh/sa/payments"
_NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def _certs(*uris: str, until: str = "2026-01-01T01:00:00Z") -> dict[str, Any]:
    chains = [
        {
            "ca_cert": [{"subject_alt_names": [{"uri": "spiffe://paymesh.internal"}]}],
            "cert_chain": [{"subject_alt_names": [{"uri": uri}], "expiration_time": until}],
        }
        for uri in uris
    ]
    return {"certificates": chains}


def test_its_own_and_no_other() -> None:
    """However often it is listed; authorities and servers' names do not count."""
    tls = {"cert_chain": [{"subject_alt_names": [{"dns": "gateway"}]}]}
    certs = _certs(_OWN, _OWN)
    certs["certificates"].append(tls)
    assert wrong_certificates(certs, _OWN, _NOW) is None


@pytest.mark.parametrize(
    ("certs", "words"),
    [
        (_certs(), "none"),
        ({}, "none"),
        (_certs(_OTHER), _OTHER),
        (_certs(_OWN, _OTHER), _OTHER),
        (_certs(_OWN, until="2025-12-31T23:59:59Z"), "ran out"),
    ],
)
def test_anything_else_is_said(certs: dict[str, Any], words: str) -> None:
    """Missing, another's, one too many, and one that has run out."""
    assert words in (wrong_certificates(certs, _OWN, _NOW) or "")
