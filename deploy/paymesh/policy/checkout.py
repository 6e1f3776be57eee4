"""Whether git is changing the checkout just now."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

_LONGEST_SECONDS = 10.0
_STEP_SECONDS = 0.01


async def git_is_done(root: Path) -> None:
    """Waits while git changes the checkout: it holds its index's lock from the first file to
    the last, and half of a branch is nobody's policy. An old lock is one that git left behind.
    """
    lock = _index_lock(root)
    while lock is not None:
        try:
            held_seconds = time.time() - lock.stat().st_mtime
        except OSError:
            return
        if held_seconds > _LONGEST_SECONDS:
            return
        await asyncio.sleep(_STEP_SECONDS)


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
