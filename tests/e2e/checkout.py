"""A copy of the repository for tests that change it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def copied(source: Path) -> Iterator[Path]:
    """What git tracks or would track of `source`, in a directory that other uids may enter."""
    root = Path(tempfile.mkdtemp(prefix="pm-copy-", dir="/tmp"))
    root.chmod(0o755)
    try:
        listed = subprocess.run(
            [
                *("/usr/bin/env", "git", "-c", f"safe.directory={source}"),
                *("ls-files", "-z", "--cached", "--others", "--exclude-standard"),
            ],
            cwd=source,
            capture_output=True,
            check=True,
            timeout=30,
        ).stdout.decode()
        for name in filter(None, listed.split("\0")):
            if (source / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / name, root / name)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
