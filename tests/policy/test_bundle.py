"""Bundles: what goes in comes out, and nothing else passes."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from paymesh.errors import ConfigError
from paymesh.mesh import repository_root
from paymesh.policy import bundle
from paymesh.policy.contents import MAX_FILE_BYTES, Files, contents

POLICIES = repository_root() / "policies"
KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())
REVISION = "1795000000000-0123456789ab"
FILES: Files = {
    "paymesh/a.rego": b"package paymesh\n",
    "paymesh/grants/data.json": b'{"grants": []}',
}

names = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,3}\.rego", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)


def unpack(data: bytes) -> Files:
    """Every entry of an archive, manifest and signature included."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def pack(files: Files) -> bytes:
    """The reverse of `unpack`, without regard for what OPA wants."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def resigned(
    data: bytes,
    key: ec.EllipticCurvePrivateKey,
    headers: dict[str, Any] | None = None,
    **changes: Any,
) -> bytes:
    """The bundle with a signature by `key`, with other claims; a None takes a claim away."""
    files = unpack(data)
    (token,) = json.loads(files[".signatures.json"])["signatures"]
    claims = {**jwt.decode(token, options={"verify_signature": False}), **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    fresh = jwt.encode(claims, key, algorithm="ES256", headers=headers or {"kid": bundle.KEY_ID})
    files[".signatures.json"] = json.dumps({"signatures": [fresh]}).encode()
    return pack(files)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(names, st.binary(max_size=200), max_size=5), values)
def test_what_is_packed_is_read_back(rego: Files, value: Any) -> None:
    """Verify undoes build, whatever the files hold."""
    files = {**rego, "paymesh/data.json": json.dumps(value).encode()}
    built = bundle.build(files, REVISION, KEY)
    assert bundle.verify(built.data, KEY.public_key()) == bundle.Bundle(REVISION, files, built.data)


def test_the_same_contents_make_the_same_bytes() -> None:
    """No time, no owner and no random number gets into a bundle."""
    shuffled = dict(reversed(FILES.items()))
    assert bundle.build(FILES, REVISION, KEY) == bundle.build(shuffled, REVISION, KEY)


def _with_content(name: str, content: bytes) -> Callable[[bytes], bytes]:
    return lambda data: pack({**unpack(data), name: content})


def _without(name: str) -> Callable[[bytes], bytes]:
    return lambda data: pack({n: content for n, content in unpack(data).items() if n != name})


TAMPERING: dict[str, Callable[[bytes], bytes]] = {
    "a rule changed": _with_content("paymesh/a.rego", b"package paymesh\nallow := true\n"),
    "a grant added": _with_content("paymesh/grants/data.json", b'{"grants": [1]}'),
    "a file added": _with_content("paymesh/b.rego", b"package paymesh.b\n"),
    "a file removed": _without("paymesh/a.rego"),
    "another revision": _with_content(".manifest", b'{"revision": "x", "roots": [""]}'),
    "no manifest": _without(".manifest"),
    "no signature": _without(".signatures.json"),
    "no signatures in the file": _with_content(".signatures.json", b'{"signatures": []}'),
    "signature of another type": _with_content(".signatures.json", b'{"signatures": [7]}'),
    "no object": _with_content(".signatures.json", b"[]"),
    "signed by a stranger": lambda data: resigned(data, STRANGER),
    "no key id": lambda data: resigned(data, KEY, {"kid": ""}),
    "no key id in the claims": lambda data: resigned(data, KEY, keyid=None),
    "another key id": lambda data: resigned(data, KEY, {"kid": "other"}, keyid="other"),
    "a scope": lambda data: resigned(data, KEY, scope="write"),
    "no files signed": lambda data: resigned(data, KEY, files=[]),
    "another digest": lambda data: resigned(
        data, KEY, files=[{"name": "a", "algorithm": "MD5", "hash": ""}]
    ),
    "empty": lambda _: b"",
    "cut off": lambda data: data[:-20],
    "no archive": lambda _: gzip.compress(b"x" * 4096),
    "a bomb": lambda _: gzip.compress(bytes(bundle.MAX_BUNDLE_BYTES + 1)),
    "too large": lambda data: data + bytes(bundle.MAX_BUNDLE_BYTES),
}


@pytest.mark.parametrize("tamper", TAMPERING.values(), ids=TAMPERING.keys())
def test_a_tampered_bundle_is_refused(tamper: Callable[[bytes], bytes]) -> None:
    """Nothing but what the key's owner packed is read back."""
    data = bundle.build(FILES, REVISION, KEY).data
    with pytest.raises(bundle.BundleError):
        bundle.verify(tamper(data), KEY.public_key())


def test_every_bit_counts() -> None:
    """A flipped bit changes nothing that is read back, or is refused."""
    built = bundle.build(FILES, REVISION, KEY)
    plain = gzip.decompress(built.data)
    for position in range(0, len(plain), 37):
        damaged = bytearray(plain)
        damaged[position] ^= 1
        try:
            found = bundle.verify(gzip.compress(bytes(damaged)), KEY.public_key())
        except bundle.BundleError:
            continue
        assert (found.revision, found.files) == (built.revision, built.files)


def test_a_link_in_the_archive_is_refused() -> None:
    """A tar can hold more than files; a bundle cannot."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("paymesh/a.rego")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(bundle.BundleError, match="odd entry"):
        bundle.verify(buffer.getvalue(), KEY.public_key())


@given(st.integers(10**12, 10**13 - 2), st.integers(10**12, 10**13 - 2))
def test_revisions_only_grow(now_ms: int, before_ms: int) -> None:
    """A later bundle has a later revision, also when the clock went back."""
    before = bundle.next_revision(FILES, None, before_ms)
    after = bundle.next_revision(FILES, before, now_ms)
    assert re.fullmatch(r"\d{13}-[0-9a-f]{12}", after)
    assert after[:13] > before[:13]
    assert after[14:] == before[14:]


def test_a_revision_of_another_form_is_refused() -> None:
    """Nothing can be later than what is no revision."""
    with pytest.raises(bundle.BundleError, match="no bundle revision"):
        bundle.next_revision(FILES, "1", 1)


@pytest.mark.parametrize(
    ("previous", "now_ms"), [("9999999999999-0123456789ab", 1), (None, 10**13)]
)
def test_no_revision_has_fourteen_digits(previous: str | None, now_ms: int) -> None:
    """It would compare as older than every other; the last one before it is still made."""
    with pytest.raises(bundle.BundleError, match="no bundle revision is later"):
        bundle.next_revision(FILES, previous, now_ms)
    assert bundle.next_revision(FILES, "9999999999998-0123456789ab", 1)[:13] == "9" * 13


def test_published_bundles_are_read_back(tmp_path: Path) -> None:
    """What was published is found again; nothing, or something bad, is nothing."""
    assert bundle.published(tmp_path, KEY.public_key()) is None
    built = bundle.build(FILES, REVISION, KEY)
    bundle.publish(built, tmp_path)
    assert bundle.published(tmp_path, KEY.public_key()) == built
    assert bundle.published(tmp_path, STRANGER.public_key()) is None
    assert [path.name for path in tmp_path.iterdir()] == ["paymesh.tar.gz"]


def test_the_bundle_holds_rules_grants_index_and_environment() -> None:
    """No tests, no README, no Go, no descriptors: what decides and nothing else."""
    files = contents(POLICIES, {"trust_domain": "paymesh.internal"})
    assert {name for name in files if not name.endswith(".rego")} == {
        "paymesh/environment/data.json",
        "paymesh/grants/data.json",
        "paymesh/index/data.json",
    }
    assert {name.rpartition("/")[0] for name in files} >= {
        "paymesh/authz",
        "paymesh/objects",
        "paymesh/log",
        "system",
    }
    assert not any("_test" in name for name in files)


def test_the_index_is_the_list_by_rpc_and_caller() -> None:
    """Every grant stands in the index once, in the list's order, and nothing else does; the
    list is left out, and what is beside it in the file is not.
    """
    files = contents(POLICIES, {})
    index = json.loads(files["paymesh/index/data.json"])
    written = yaml.safe_load((POLICIES / "paymesh/grants/data.yaml").read_text())
    grants = written.pop("grants")
    assert json.loads(files["paymesh/grants/data.json"]) == written
    assert index["built"] is True
    assert index["closed"] == {line["rpc"]: True for line in written["closed"]}
    assert {
        (rpc, caller, grant["id"], tuple(grant["conditions"]))
        for rpc, callers in index["grants"].items()
        for caller, found in callers.items()
        for grant in found
    } == {(g["rpc"], g["caller"], g["id"], tuple(g["conditions"])) for g in grants}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("paymesh/grants/data.yaml", b"grants: [}"),
        ("paymesh/grants/data.yaml", b"grants: [{id: a}]"),
        ("paymesh/grants/data.yaml", b"grants: 7"),
        ("paymesh/grants/data.yaml", b"7"),
        ("paymesh/grants/data.yaml", bytes(MAX_FILE_BYTES + 1)),
        ("paymesh/authz/data.json", b"{}"),
        ("system/notes.txt", b"x"),
    ],
)
def test_what_has_no_place_in_a_bundle_is_refused(
    checkout: Path, name: str, content: bytes
) -> None:
    """A damaged or unexpected file is a sentence that names it, never left out in silence."""
    (checkout / "policies" / name).write_bytes(content)
    with pytest.raises(ConfigError, match="policies"):
        contents(checkout / "policies", {})
