"""The programs: there, at the version that this checkout wants, and runnable by every workload."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from paymesh import binaries
from paymesh.checks.model import Context, Finding, Section
from paymesh.errors import SetupError

_OLDEST_POSTGRES = 15
_section = Section("binaries")


def check(context: Context) -> Iterator[Finding]:
    """Yields a finding for each program."""
    for name in (*binaries.SPIRE, binaries.PDP):
        try:
            path = binaries.built(context.paths, name)
        except SetupError as error:
            yield _section.problem(f"{name} is built", str(error), "run `make setup`")
            continue
        yield _section.ok(f"{name} is built")
        if context.separate_uids:
            yield _runnable(name, path)
    yield _envoy()
    yield _postgres()


def _envoy() -> Finding:
    name = "Envoy runs"
    said = _output([str(binaries.envoy_binary()), "--version"])
    found = re.search(r"/(\d+\.\d+\.\d+)/", said or "")
    if found is None:
        return _section.problem(name, "it does not tell its version", "run `make setup`")
    return _section.ok(f"{name}: {found[1]}")


def _postgres() -> Finding:
    name = f"PostgreSQL {_OLDEST_POSTGRES} or later"
    try:
        directory = binaries.postgres_directory()
    except SetupError as error:
        return _section.problem(name, str(error), "run `make setup`")
    said = _output([str(directory / "postgres"), "--version"])
    found = re.search(r"(\d+)(\.\d+)*", said or "")
    if found is None or int(found[1]) < _OLDEST_POSTGRES:
        return _section.problem(
            name,
            f"{directory} has {said or 'none that runs'}",
            "install postgresql or run `make setup`",
        )
    return _section.ok(f"{name}: {found[0]}")


def _runnable(name: str, path: Path) -> Finding:
    for part in (path, *path.parents):
        if not part.stat().st_mode & stat.S_IXOTH:
            return _section.problem(
                f"{name} can be run by every workload",
                f"{part} is closed to other users",
                f"set PAYMESH_CACHE to a directory that others may enter, or chmod o+x {part}",
            )
    return _section.ok(f"{name} can be run by every workload")


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
