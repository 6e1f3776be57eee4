"""Published bundles are found again by the revision that a decision names."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.policy import bundle
from paymesh.policy.archive import Archive

KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())
GRANTS = b"grants: [] # as the reviewer wrote it\n"


def make(number: int, key: ec.EllipticCurvePrivateKey = KEY, size: int = 0) -> bundle.Bundle:
    """The bundle of a revision whose time is `number`, with a file that does not shrink."""
    text = b"package paymesh.authz\n#" + bytes(number.to_bytes(2, "big").hex() * size, "ascii")
    return bundle.build({"paymesh/authz/a.rego": text}, f"{number:013d}-{number:012x}", key)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive that nothing is in, of three revisions at most."""
    return Archive(tmp_path / "archive", KEY.public_key(), max_count=3)


def test_what_was_kept_is_found_by_its_revision(archive: Archive) -> None:
    """The bundle is the same to the byte, and so is the reviewers' file."""
    first, second = make(1), make(2)
    archive.keep(first, GRANTS)
    archive.keep(second, b"grants: []\n")
    kept = archive.find(first.revision)
    assert kept is not None
    assert (kept.bundle, kept.grants) == (first, GRANTS)
    assert archive.revisions() == [first.revision, second.revision]


def test_what_was_never_kept_is_not_found(archive: Archive) -> None:
    """Nor does an archive that was never written to fail."""
    assert archive.revisions() == []
    assert archive.find(make(1).revision) is None
    archive.prune(live=make(1).revision)


@pytest.mark.parametrize("name", ["", "../bundles/paymesh", "1", f"{make(1).revision}/x"])
def test_what_is_no_revision_is_no_path(archive: Archive, name: str) -> None:
    """A name out of a decision log does not lead out of the directory."""
    with pytest.raises(bundle.BundleError, match="no bundle revision"):
        archive.find(name)


def test_only_the_owner_reads_the_archive(archive: Archive, tmp_path: Path) -> None:
    """A bundle says who may do what: directory 0700, files 0600."""
    archive.keep(make(1), GRANTS)
    assert stat.S_IMODE((tmp_path / "archive").stat().st_mode) == 0o700
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "archive").iterdir()}
    assert modes == {0o600}


def test_a_bundle_that_does_not_verify_is_not_found(archive: Archive, tmp_path: Path) -> None:
    """Damaged, signed by another key, or under another's name: as good as none."""
    damaged, foreign, renamed = make(1), make(2, STRANGER), make(3)
    for one in (damaged, foreign, renamed):
        archive.keep(one, GRANTS)
    directory = tmp_path / "archive"
    (directory / f"{damaged.revision}.tar.gz").write_bytes(damaged.data[:-20])
    (directory / f"{make(4).revision}.tar.gz").write_bytes(renamed.data)
    (directory / f"{make(4).revision}.grants.yaml").write_bytes(GRANTS)
    for one in (damaged, foreign, make(4)):
        assert archive.find(one.revision) is None


def test_the_oldest_go_first_and_the_live_one_never(archive: Archive) -> None:
    """Three are kept; the one in force stays although it is the oldest of all."""
    revisions = [make(number).revision for number in range(1, 7)]
    for number in range(1, 7):
        archive.keep(make(number), GRANTS)
    archive.prune(live=revisions[0])
    assert archive.revisions() == [revisions[0], *revisions[-2:]]


def test_the_archive_is_bounded_in_bytes(tmp_path: Path) -> None:
    """The oldest go until what is left is small enough; the live one stays even alone."""
    one = make(1, size=1)
    archive = Archive(
        tmp_path / "archive", KEY.public_key(), max_bytes=2 * (len(one.data) + len(GRANTS)) + 50
    )
    for number in range(1, 6):
        archive.keep(make(number, size=1), GRANTS)
    archive.prune(live=make(5).revision)
    assert archive.revisions() == [make(4).revision, make(5).revision]
    Archive(tmp_path / "archive", KEY.public_key(), max_bytes=1).prune(live=make(4).revision)
    assert archive.revisions() == [make(4).revision]


def test_keeping_the_same_again_changes_nothing(archive: Archive) -> None:
    """A publication that was cut short between archive and server is done again."""
    archive.keep(make(1), GRANTS)
    archive.keep(make(1), GRANTS)
    assert archive.revisions() == [make(1).revision]
