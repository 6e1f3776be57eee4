"""What another uid may do to a path, asked of the kernel rather than worked out from modes."""

from __future__ import annotations

import subprocess
from pathlib import Path

NOBODY = 65534
_TIMEOUT_SECONDS = 10


def may_write(path: Path, uid: int = NOBODY) -> bool:
    """Whether a process with this uid and gid, in no group, may write to or connect to `path`.

    Only root may ask for another uid.
    """
    return _test("-w", path, uid)


def may_read(path: Path, uid: int = NOBODY) -> bool:
    """Whether a process with this uid and gid, in no group, may read `path`."""
    return _test("-r", path, uid)


def _test(flag: str, path: Path, uid: int) -> bool:
    done = subprocess.run(
        [
            "/usr/bin/setpriv",
            f"--reuid={uid}",
            f"--regid={uid}",
            "--clear-groups",
            "--no-new-privs",
            "/usr/bin/test",
            flag,
            str(path),
        ],
        check=False,
        capture_output=True,
        timeout=_TIMEOUT_SECONDS,
        env={},
        cwd="/",
    )
    return done.returncode == 0
