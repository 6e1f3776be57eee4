"""Keys and certificates: made once, renewed in time, right for whom they are meant."""

from __future__ import annotations

import datetime as dt
import json
import os
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from paymesh.paths import Paths
from paymesh.runtime import issuer, pki


def leaf(directory: Path, authority: pki.Authority, **options: object) -> x509.Certificate:
    """A server certificate for localhost."""
    certificate, key = directory / "x.crt", directory / "x.key"
    arguments = {"common_name": "x", "names": ["localhost", "127.0.0.1"], **options}
    pki.ensure_leaf(authority, certificate, key, **arguments)  # type: ignore[arg-type]
    return x509.load_pem_x509_certificate(certificate.read_bytes())


def test_a_second_start_keeps_everything(tmp_path: Path) -> None:
    """Clients that trust the authority go on doing so."""
    authority = pki.ensure_authority(tmp_path, "edge")
    first = leaf(tmp_path, authority)
    assert pki.ensure_authority(tmp_path, "edge").pem == authority.pem
    assert leaf(tmp_path, authority) == first


def test_tls_accepts_the_chain(tmp_path: Path) -> None:
    """By the strictest rules that the standard library knows."""
    authority = pki.ensure_authority(tmp_path, "edge")
    leaf(tmp_path, authority)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "x.crt", tmp_path / "x.key")
    client = ssl.create_default_context(cadata=authority.pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done = 0
    for _ in range(10):
        for side in sides:
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                continue
    assert done > 1


def test_keys_are_secret(tmp_path: Path) -> None:
    """Mode 0400, whatever the umask."""
    leaf(tmp_path, pki.ensure_authority(tmp_path, "edge"))
    for name in ("edge.key", "x.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o400


def test_a_certificate_is_renewed_before_it_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the last third of its life, by the same authority."""
    authority = pki.ensure_authority(tmp_path, "edge")
    monkeypatch.setattr(pki, "_LEAF_LIFE", dt.timedelta(days=100))
    first = leaf(tmp_path, authority)
    monkeypatch.setattr(pki, "_LEAF_LIFE", dt.timedelta(days=400))
    second = leaf(tmp_path, authority)
    assert second != first
    assert second.not_valid_after_utc > first.not_valid_after_utc


@pytest.mark.parametrize("damage", ["names", "authority", "key", "garbage", "missing"])
def test_a_certificate_that_does_not_fit_is_made_anew(tmp_path: Path, damage: str) -> None:
    """For other names, by another authority, with another key, or damaged."""
    authority = pki.ensure_authority(tmp_path, "edge")
    first = leaf(tmp_path, authority)
    names = ["localhost"] if damage == "names" else ["localhost", "127.0.0.1"]
    if damage == "authority":
        for name in ("edge.key", "edge.crt"):
            (tmp_path / name).unlink()
        authority = pki.ensure_authority(tmp_path, "edge")
    elif damage == "key":
        (tmp_path / "x.key").unlink()
        pki.ensure_key(tmp_path / "x.key")
    elif damage == "garbage":
        (tmp_path / "x.crt").unlink()
        (tmp_path / "x.crt").write_bytes(b"-----BEGIN CERTIFICATE-----\nx")
    elif damage == "missing":
        (tmp_path / "x.crt").unlink()
    second = leaf(tmp_path, authority, names=names)
    assert second != first
    second.verify_directly_issued_by(authority.certificate)
    key = serialization.load_pem_private_key((tmp_path / "x.key").read_bytes(), None)
    assert key.public_key() == second.public_key()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["x.crt", "x.key"])
def test_a_pipe_in_place_of_a_certificate_is_replaced(tmp_path: Path, name: str) -> None:
    """The directory is a workload's: `up` waits for nobody there."""
    authority = pki.ensure_authority(tmp_path, "edge")
    leaf(tmp_path, authority)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    leaf(tmp_path, authority)
    assert (tmp_path / name).is_file()


def test_certificates_are_for_one_purpose(tmp_path: Path) -> None:
    """An authority signs leaves only; a leaf signs nothing and is a server or a client."""
    authority = pki.ensure_authority(tmp_path, "edge")
    constraints = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    for client, purpose in (
        (False, ExtendedKeyUsageOID.SERVER_AUTH),
        (True, ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        directory = tmp_path / str(client)
        directory.mkdir()
        found = leaf(directory, authority, client=client).extensions
        assert not found.get_extension_for_class(x509.BasicConstraints).value.ca
        assert list(found.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]


def test_the_issuer_publishes_no_secret(paths: Paths) -> None:
    """The JWKS has public members only, and stays the same."""
    paths.home.mkdir()
    text = issuer.ensure_issuer(paths)
    assert issuer.ensure_issuer(paths) == text
    (key,) = json.loads(text)["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert stat.S_IMODE((paths.issuer / "key.pem").stat().st_mode) == 0o600


def test_the_key_id_is_the_thumbprint() -> None:
    """RFC 7638, section 3: SHA-256 of the required members, checked against the key of
    RFC 7515, appendix A.3.
    """
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    x = bytes.fromhex("7fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445")
    y = bytes.fromhex("c7f144cd1bbd9b7e872cdfedb9eeb9f4b3695d6ea90b24ad8a4623288588e5ad")
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
    )
    found = issuer.jwk(numbers.public_key())
    assert found["x"] == "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
    assert found["y"] == "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    assert found["kid"] == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
