"""Whether git is changing the checkout just now."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

_LONGEST_SECONDS = 10.0
_STEP_SECONDS = 0.01


async def git_is_done(root: Path) -> None:
    """Waits while git changes the checkout: half of a branch is nobody's policy."""
    while git_is_at_work(root):  # noqa: ASYNC110 — it is another program's
        await asyncio.sleep(_STEP_SECONDS)


def git_is_at_work(root: Path) -> bool:
    """Whether git holds its index's lock, as it does from the first file that it changes to
    the last. An old lock is one that git left behind.
    """
    lock = _index_lock(root)
    try:
        return lock is not None and time.time() - lock.stat().st_mtime < _LONGEST_SECONDS
    except OSError:
        return False


def _index_lock(root: Path) -> Path | None:
    """None where there is no git. In a worktree `.git` is a file that says where it is."""
    git = root / ".git"
    try:
        text = git.read_text("utf-8")
    except IsADirectoryError:
        return git / "index.lock"
    except (OSError, ValueError):
        return None
    return root / text.removeprefix("gitdir:").strip() / "index.lock"
