"""What other uids may read, and copies of what they may not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from paymesh.runtime import mirror


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A directory that everybody may enter; pytest's own is the user's alone."""
    before = []
    for directory in (tmp_path, *tmp_path.parents):
        mode = directory.stat().st_mode
        if not mode & 0o001 and directory.stat().st_uid == os.geteuid():
            before.append((directory, mode))
            directory.chmod(mode | 0o011)
    yield tmp_path
    for directory, mode in before:
        directory.chmod(mode)


def test_every_directory_on_the_way_counts(open_path: Path) -> None:
    """One directory that others may not enter hides everything below it."""
    below = open_path / "a" / "b"
    below.mkdir(parents=True)
    file = below / "file"
    file.write_text("")
    for directory in (open_path / "a", below):
        directory.chmod(0o755)
    file.chmod(0o644)
    assert mirror.readable_by_others(file)
    (open_path / "a").chmod(0o700)
    assert not mirror.readable_by_others(file)


@pytest.mark.parametrize(
    ("mode", "readable"), [(0o644, True), (0o640, False), (0o755, True), (0o744, False)]
)
def test_the_file_itself_counts(open_path: Path, mode: int, readable: bool) -> None:  # noqa: FBT001
    """A program must be executable by others, not only readable."""
    file = open_path / "file"
    file.write_text("")
    file.chmod(mode)
    assert mirror.readable_by_others(file) is readable


def test_a_link_counts_at_both_ends(open_path: Path) -> None:
    """It is no way around a closed directory."""
    closed = open_path / "closed"
    closed.mkdir()
    (closed / "file").write_text("")
    (closed / "file").chmod(0o644)
    link = open_path / "link"
    link.symlink_to(closed / "file")
    closed.chmod(0o700)
    assert not mirror.readable_by_others(link)
    closed.chmod(0o755)
    assert mirror.readable_by_others(link)


def test_what_is_missing_is_not_readable(tmp_path: Path) -> None:
    """And no error."""
    assert not mirror.readable_by_others(tmp_path / "missing" / "file")


def test_a_copy_is_made_once_and_whole(tmp_path: Path) -> None:
    """A second call does not build again; a build that fails leaves nothing."""
    built = []

    def build(scratch: Path) -> None:
        built.append(scratch)
        (scratch / "file").write_text("x")

    target = tmp_path / "runtime" / "thing-1"
    assert mirror.ensure(target, build) == mirror.ensure(target, build) == target
    assert len(built) == 1

    def fail(scratch: Path) -> None:
        (scratch / "half").write_text("")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        mirror.ensure(tmp_path / "runtime" / "thing-2", fail)
    assert [path.name for path in (tmp_path / "runtime").iterdir()] == ["thing-1"]


def test_a_tree_is_copied_readable_for_all(tmp_path: Path) -> None:
    """Private files too, with their times; what is to be skipped is not there."""
    source = tmp_path / "source"
    (source / "package").mkdir(parents=True)
    (source / "package" / "module.py").write_text("pass")
    (source / "package" / "module.py").chmod(0o600)
    (source / "open.py").write_text("")
    (source / "open.py").chmod(0o644)
    (source / "x.pth").write_text("import os")
    (source / "tests").mkdir()
    source.chmod(0o700)
    target = tmp_path / "target"
    mirror.copy_tree(source, target, skip=frozenset(["tests"]), link=True)
    module = target / "package" / "module.py"
    assert module.stat().st_mode & 0o777 == 0o644
    assert module.stat().st_mtime_ns == (source / "package" / "module.py").stat().st_mtime_ns
    assert (target / "open.py").stat().st_ino == (source / "open.py").stat().st_ino
    assert (target / "package").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in target.iterdir()) == ["open.py", "package"]


def test_old_copies_are_pruned(tmp_path: Path) -> None:
    """Three days after their last use; a mesh that runs says that it uses them."""
    long_ago = time.time() - 4 * 86400
    for name in ("old", "running"):
        (tmp_path / name / "bin").mkdir(parents=True)
        os.utime(tmp_path / name, (long_ago, long_ago))
    (tmp_path / "new").mkdir()
    mirror.keep(tmp_path, [tmp_path / "running" / "bin" / "python", Path("/usr/bin/python3")])
    mirror.prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "running"]
