"""A copy of the repository for tests that change it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from policy.matrices import commit

_ROOT = Path(__file__).resolve().parents[2]
_NOT_SOURCE = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """The checkout that the tests stand in, in a directory that other uids may enter."""
    parent = Path(tempfile.mkdtemp(prefix="pm-copy-", dir="/tmp"))
    parent.chmod(0o755)
    try:
        root = parent / "paymesh"
        shutil.copytree(_ROOT, root, ignore=_NOT_SOURCE)
        root.chmod(0o755)
        # To compare edits with, as every checkout has one.
        commit(root)
        yield root
    finally:
        shutil.rmtree(parent, ignore_errors=True)
