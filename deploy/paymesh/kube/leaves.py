"""Server certificates in Secrets: made when missing, renewed in the last third of their life.

One that another authority signed was brought by somebody, and stays.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from paymesh.runtime import pki
from paymesh.runtime.files import write_file


def leaf(
    authority: pki.Authority,
    existing: Mapping[str, bytes],
    names: list[str],
    *,
    certificate: str = "tls.crt",
    key: str = "tls.key",
) -> dict[str, bytes]:
    """Certificate and key under their names in a Secret.

    Args:
        authority: who signs.
        existing: the Secret as it stands.
        names: DNS names and IP addresses; the first is the common name.
        certificate: its key in the Secret.
        key: the private key's.
    """
    found = existing.get(certificate), existing.get(key)
    if found[0] and found[1] and is_foreign(authority, found[0]):
        return {certificate: found[0], key: found[1]}
    # `pki` works on files; the directory is closed to others and gone afterwards.
    with tempfile.TemporaryDirectory(prefix="paymesh-leaf-") as scratch:
        certificate_path, key_path = Path(scratch) / "leaf.crt", Path(scratch) / "leaf.key"
        if found[0] and found[1]:
            write_file(certificate_path, found[0], 0o444)
            write_file(key_path, found[1], 0o400)
        pki.ensure_leaf(
            authority,
            certificate_path,
            key_path,
            # A common name has 64 characters at most (RFC 5280, ub-common-name).
            common_name=names[0][:64],
            names=names,
        )
        return {certificate: certificate_path.read_bytes(), key: key_path.read_bytes()}


def is_foreign(authority: pki.Authority, pem: bytes) -> bool:
    """Whether somebody else's authority signed it; a damaged one is nobody's."""
    try:
        found = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return False
    return found.issuer != authority.certificate.subject


def expires(pem: bytes) -> dt.datetime | None:
    """When a certificate runs out, in UTC; None when it is no certificate."""
    try:
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc
    except ValueError:
        return None
