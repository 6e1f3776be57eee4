"""Bundles in OPA's format: a gzipped tar with `.manifest` and `.signatures.json`.

The signature is a JWS (RFC 7515, ES256) over the names and digests of all files;
OPA's documentation, "Bundles", section "Signing", says how digests are taken.
The same files, key and revision make the same bytes, so that a bundle can be
compared with one that was built elsewhere.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.utils import base64url_decode, base64url_encode, der_to_raw_signature, raw_to_der_signature

from paymesh.errors import SetupError
from paymesh.policy.contents import ROOTS, Files, digest
from paymesh.policy.names import FILE_NAME, KEY_ID, MAX_BUNDLE_BYTES
from paymesh.runtime.files import write_file

MAX_UNPACKED_BYTES = 32 << 20
# Time counts more than bytes: who fetches it is near.
_COMPRESSION = 1

_MANIFEST = ".manifest"
_SIGNATURES = ".signatures.json"
_REVISION = re.compile(r"([0-9]{13})-([0-9a-f]{12})")
_LAST_MS = 10**13 - 1
_ALGORITHM = "SHA-256"


class BundleError(SetupError):
    """A bundle is damaged, or not signed with the key that it should be."""


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle that was read back and found good.

    `files` leaves out manifest and signature; `data` is the whole archive.
    """

    revision: str
    files: Files
    data: bytes


def next_revision(files: Mapping[str, bytes], previous: str | None, now_ms: int) -> str:
    """`<unix milliseconds>-<12 hex digits of the contents' digest>`, later than `previous`
    also when the clock went back: a decision point takes nothing older than it has.

    Raises:
        BundleError: `previous` is no revision, or the last that there can be.
    """
    moment_ms = now_ms if previous is None else max(now_ms, stamp_ms(previous) + 1)
    if moment_ms > _LAST_MS:
        # One more digit would compare as older: revisions are compared as text.
        raise BundleError(f"no bundle revision is later than {previous or _LAST_MS}")
    return f"{moment_ms:013d}-{digest(files)[:12]}"


def stamp_ms(revision: str) -> int:
    """The Unix time in a revision, in milliseconds.

    Raises:
        BundleError: it is none.
    """
    match = _REVISION.fullmatch(revision)
    if match is None:
        raise BundleError(f"{revision!r} is no bundle revision")
    return int(match[1])


def build(
    files: Mapping[str, bytes],
    revision: str,
    key: ec.EllipticCurvePrivateKey,
    key_id: str = KEY_ID,
) -> Bundle:
    """Packs and signs.

    Args:
        files: as `contents` makes them.
        revision: as `next_revision` makes it.
        key: P-256.
        key_id: what decision points call the key.
    """
    manifest = json.dumps({"revision": revision, "roots": list(ROOTS)}, sort_keys=True).encode()
    packed = {**files, _MANIFEST: manifest}
    listed = [
        {"name": name, "hash": _file_digest(name, content), "algorithm": _ALGORITHM}
        for name, content in sorted(packed.items())
    ]
    token = _sign({"files": listed, "keyid": key_id}, key, key_id)
    packed[_SIGNATURES] = json.dumps({"signatures": [token]}).encode()
    return Bundle(revision, dict(files), _pack(packed))


def verify(data: bytes, key: ec.EllipticCurvePublicKey, key_id: str = KEY_ID) -> Bundle:
    """Reads a bundle as a decision point does, and more strictly: the signature has to name
    its key, and every file has to be listed.

    Raises:
        BundleError: says what is wrong with it.
    """
    packed = _unpack(data)
    try:
        signatures = json.loads(packed.pop(_SIGNATURES))["signatures"]
        (token,) = signatures
        claims = _verified(token, key, key_id)
        listed = {entry["name"]: (entry["algorithm"], entry["hash"]) for entry in claims["files"]}
        found = {name: (_ALGORITHM, _file_digest(name, data)) for name, data in packed.items()}
        manifest = json.loads(packed.pop(_MANIFEST))
        revision, roots = manifest["revision"], manifest["roots"]
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"the bundle is incomplete: {type(error).__name__}: {error}") from error
    if listed != found:
        odd = sorted(name for name in listed | found if listed.get(name) != found.get(name))
        raise BundleError(f"the bundle's signature does not cover {', '.join(odd)}")
    if roots != list(ROOTS) or not isinstance(revision, str) or not _REVISION.fullmatch(revision):
        raise BundleError("the bundle's manifest is not one of ours")
    return Bundle(revision, packed, data)


def publish(bundle: Bundle, directory: Path, file_name: str = FILE_NAME) -> None:
    """Puts the bundle where the server finds it, whole or not at all."""
    write_file(directory / file_name, bundle.data, 0o644)


def published(
    directory: Path,
    key: ec.EllipticCurvePublicKey,
    key_id: str = KEY_ID,
    file_name: str = FILE_NAME,
) -> Bundle | None:
    """What was published last; None when there is nothing, or nothing good.

    Raises:
        OSError: the file is there and cannot be read.
    """
    return verified(published_bytes(directory, file_name), key, key_id)


def published_bytes(directory: Path, file_name: str = FILE_NAME) -> bytes:
    """What was published last, unseen; empty when there is nothing.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        with (directory / file_name).open("rb") as file:
            return file.read(MAX_BUNDLE_BYTES + 1)
    except FileNotFoundError:
        return b""


def verified(data: bytes, key: ec.EllipticCurvePublicKey, key_id: str = KEY_ID) -> Bundle | None:
    """As `verify`; None when it is not good."""
    try:
        return verify(data, key, key_id)
    except BundleError:
        return None


def _sign(claims: Mapping[str, Any], key: ec.EllipticCurvePrivateKey, key_id: str) -> str:
    header = {"alg": "ES256", "kid": key_id, "typ": "JWT"}
    signed = b".".join(
        base64url_encode(json.dumps(part, sort_keys=True, separators=(",", ":")).encode())
        for part in (header, claims)
    )
    # RFC 6979: without it no two builds of the same contents would be the same bytes.
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    signature = der_to_raw_signature(key.sign(signed, algorithm), key.curve)
    return b".".join((signed, base64url_encode(signature))).decode("ascii")


def _verified(token: str, key: ec.EllipticCurvePublicKey, key_id: str) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
        signed, _, signature = token.rpartition(".")
        der = raw_to_der_signature(base64url_decode(signature), key.curve)
        key.verify(der, signed.encode("ascii"), ec.ECDSA(hashes.SHA256()))
        claims = json.loads(base64url_decode(signed.partition(".")[2]))
    except (jwt.PyJWTError, InvalidSignature, ValueError, AttributeError) as error:
        raise BundleError("the bundle's signature is not by the expected key") from error
    if header.get("alg") != "ES256" or header.get("kid") != key_id:
        raise BundleError(f"the bundle's signature does not name ES256 and key {key_id}")
    if not isinstance(claims, dict) or claims.get("keyid") != key_id or claims.get("scope"):
        raise BundleError(f"the bundle's signature is not for key {key_id}")
    return claims


def _file_digest(name: str, content: bytes) -> str:
    """SHA-256 of the bytes, or of the canonical JSON of what OPA calls structured files."""
    if name == _MANIFEST or name.rpartition("/")[2] == "data.json":
        text = json.dumps(
            json.loads(content), sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        # Go's encoder escapes these two even where it escapes nothing else.
        text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        content = text.encode()
    return hashlib.sha256(content).hexdigest()


def _pack(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", _COMPRESSION, buffer, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _unpack(data: bytes) -> Files:
    files: Files = {}
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleError(f"the bundle is larger than {MAX_BUNDLE_BYTES} bytes")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as zipped:
            plain = zipped.read(MAX_UNPACKED_BYTES + 1)
        if len(plain) > MAX_UNPACKED_BYTES:
            raise BundleError(f"the bundle unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() else None
                if content is None or entry.name in files:
                    raise BundleError(f"the bundle has an odd entry {entry.name!r}")
                files[entry.name] = content.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise BundleError(f"the bundle is damaged: {error}") from error
    return files
