"""What the Python Dockerfile puts into each image, read from its text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from paymesh.mesh import repository_root

ROOT = repository_root()
DIRECTORY = ROOT / "deploy/images/python"
DOCKERFILE = DIRECTORY / "Dockerfile"
TARGETS = ("services", "platform", "simulators")
# What build.sh removes.
NOT_IN_IMAGES = {"testing", "__pycache__"}


def instructions() -> Iterator[tuple[str, list[str]]]:
    """(stage, words) of every instruction, lines joined and comments left out."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    stage = ""
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        words = line.split()
        if words and words[0] == "FROM":
            stage = words[-1]
        if words:
            yield stage, words


def copied(target: str) -> list[tuple[Path, Path]]:
    """(file of the checkout, its place below the image's source directory)."""
    found = []
    for stage, words in instructions():
        if stage != f"{target}-files" or words[0] != "COPY" or "/opt/paymesh/src" not in words[-1]:
            continue
        place = Path(words[-1]).relative_to("/opt/paymesh/src")
        for source in words[1:-1]:
            path = ROOT / source
            assert path.exists() or path.parent.is_dir(), source
            if path.is_dir():
                found += [(f, place / f.relative_to(path)) for f in path.rglob("*") if f.is_file()]
            else:
                found.append((path, place / path.name))
    return [
        (file, place)
        for file, place in found
        if not NOT_IN_IMAGES & {*place.parts, place.stem} and place.suffix != ".pyi"
    ]


def imports(file: Path) -> set[str]:
    """The absolute names that a module imports, `a.b` of `from a import b` too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names
