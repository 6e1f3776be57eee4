"""docs/adding-a-service.md carried out in a copy of the repository, and commands run there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

_BLOCK = re.compile(
    r"<!-- (?P<what>file|insert): (?P<path>\S+)(?: after: (?P<after>.+?))? -->\n"
    r"```\w+\n(?P<text>.*?)```\n",
    re.DOTALL,
)


def carry_out(root: Path) -> None:
    """Word for word, but for the commands."""
    page = root / "docs" / "adding-a-service.md"
    blocks = list(_BLOCK.finditer(page.read_text("utf-8")))
    assert len(blocks) >= 8
    for block in blocks:
        _carry_out(root, block)


def _carry_out(root: Path, block: re.Match[str]) -> None:
    path = root / block["path"]
    if block["what"] == "file":
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"], encoding="utf-8")
        return
    lines = path.read_text("utf-8").splitlines(keepends=True)
    (at,) = [number for number, line in enumerate(lines) if line.rstrip("\n") == block["after"]]
    path.write_text("".join([*lines[: at + 1], block["text"], *lines[at + 1 :]]), encoding="utf-8")


def environment(root: Path, **more: str) -> dict[str, str]:
    """Of processes that run the copy's code, with no mesh's settings but those in `more`."""
    roots = [root / "services", root / "services/_generated", root / "deploy"]
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("PAYMESH_") or key == "PAYMESH_CACHE"
    }
    return {
        **kept,
        "PAYMESH_ROOT": str(root),
        "PYTHONPATH": os.pathsep.join(map(str, roots)),
        **more,
    }


def paymesh(
    root: Path, *arguments: str, timeout_seconds: float = 100, **more: str
) -> subprocess.CompletedProcess[str]:
    """The copy's own command."""
    code = "from paymesh.cli.main import app; app()"
    return python(root, "-c", code, *arguments, timeout_seconds=timeout_seconds, **more)


def python(
    root: Path, *arguments: str, timeout_seconds: float = 100, **more: str
) -> subprocess.CompletedProcess[str]:
    """Python, over the copy's code."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=environment(root, **more),
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
