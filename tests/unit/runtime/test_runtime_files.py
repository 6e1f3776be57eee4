"""Files with exact modes, whole or not at all, and no symbolic link followed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from paymesh.errors import SetupError
from paymesh.runtime.accounts import Account
from paymesh.runtime.files import (
    IrregularFileError,
    ensure_directory,
    ensure_secret,
    read_regular,
    write_file,
)

ME = Account(os.geteuid(), os.getegid())


def mode_of(path: Path) -> int:
    """Permission bits, of a link those of the link."""
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("mode", [0o400, 0o444, 0o600, 0o644])
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_file_has_exactly_its_mode(tmp_path: Path, mode: int, umask: int) -> None:
    """The umask neither adds nor takes away."""
    before = os.umask(umask)
    try:
        write_file(tmp_path / "file", "text", mode, ME)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "file") == mode
    assert (tmp_path / "file").read_text() == "text"


def test_a_file_that_is_right_is_left_alone(tmp_path: Path) -> None:
    """Its time says when it changed, so writing the same again must not change it."""
    path = tmp_path / "file"
    write_file(path, "text", 0o600)
    before = path.stat()
    write_file(path, "text", 0o600)
    assert path.stat().st_ino == before.st_ino
    write_file(path, "other", 0o600)
    assert path.stat().st_ino != before.st_ino


def test_a_mode_that_somebody_changed_is_put_right(tmp_path: Path) -> None:
    """A secret that became readable is replaced."""
    path = tmp_path / "secret"
    write_file(path, "text", 0o400)
    path.chmod(0o644)
    write_file(path, "text", 0o400)
    assert mode_of(path) == 0o400


def test_a_symbolic_link_in_the_way_is_replaced(tmp_path: Path) -> None:
    """A workload cannot make root overwrite a file elsewhere."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    link = tmp_path / "link"
    link.symlink_to(victim)
    write_file(link, "text", 0o600)
    assert victim.read_text() == "untouched"
    assert not link.is_symlink()


def test_a_link_to_the_right_contents_is_still_replaced(tmp_path: Path) -> None:
    """A link, hard or symbolic, is never taken for the file itself."""
    victim = tmp_path / "victim"
    victim.write_text("text")
    victim.chmod(0o600)
    (tmp_path / "hard").hardlink_to(victim)
    (tmp_path / "soft").symlink_to(victim)
    for name in ("hard", "soft"):
        write_file(tmp_path / name, "text", 0o600)
        assert (tmp_path / name).lstat().st_ino != victim.stat().st_ino


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """Neither half a file nor a temporary one."""
    target = tmp_path / "directory"
    target.mkdir()
    (target / "occupied").mkdir()
    with pytest.raises(SetupError, match="occupied is a directory"):
        write_file(target / "occupied", "text", 0o600)
    assert sorted(path.name for path in target.iterdir()) == ["occupied"]


@pytest.mark.timeout(20)
def test_only_a_file_of_some_size_is_read(tmp_path: Path) -> None:
    """No link is followed, no pipe waited for, and no more taken than is asked for."""
    (tmp_path / "file").write_text("text")
    assert read_regular(tmp_path / "file", 4) == b"text"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "long").write_text("texts")
    for name in ("link", "pipe", "directory", "long"):
        with pytest.raises(IrregularFileError, match=name):
            read_regular(tmp_path / name, 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 4)


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    """The second call returns the first one's text, which only its owner may read."""
    first = ensure_secret(tmp_path / "secret")
    assert len(first) >= 43
    assert ensure_secret(tmp_path / "secret") == first
    assert mode_of(tmp_path / "secret") == 0o600
    assert ensure_secret(tmp_path / "other") != first


def test_an_empty_secret_is_made_anew(tmp_path: Path) -> None:
    """What a full disk left behind is not used as a password."""
    (tmp_path / "secret").write_text("\n")
    assert ensure_secret(tmp_path / "secret")


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o2750])
def test_a_directory_has_exactly_its_mode(tmp_path: Path, mode: int) -> None:
    """Made or found, with the umask having no say."""
    path = tmp_path / "directory"
    ensure_directory(path, mode)
    assert mode_of(path) == mode
    path.chmod(0o777)
    ensure_directory(path, mode)
    assert mode_of(path) == mode


def test_a_file_in_place_of_a_directory_is_named(tmp_path: Path) -> None:
    """So is a link to a directory: neither is used."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(NotADirectoryError, match=name):
            ensure_directory(tmp_path / name, 0o700)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand over files")
def test_a_directory_is_handed_over_with_its_contents(tmp_path: Path) -> None:
    """After a change of uids a workload finds its files its own, and no link is followed."""
    directory = tmp_path / "directory"
    outside = tmp_path / "outside"
    outside.write_text("")
    (directory / "below").mkdir(parents=True)
    (directory / "below" / "file").write_text("")
    (directory / "link").symlink_to(outside)
    ensure_directory(directory, 0o700, Account(4242, 4243))
    for path in (directory, directory / "below", directory / "below" / "file"):
        assert (path.stat().st_uid, path.stat().st_gid) == (4242, 4243)
    assert outside.stat().st_uid == 0
