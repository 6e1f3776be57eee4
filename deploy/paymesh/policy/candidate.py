"""A policy that is not in force: of another directory, or of a git revision.

`load` collects its files, `unpacked` puts them where `paymesh-pdp decide` and
`paymesh-pdp replay` read them.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paymesh.errors import ConfigError, SetupError
from paymesh.mesh import repository_root
from paymesh.policy.contents import ROOTS, Files, contents

_GIT_SECONDS = 60
_CHECK_SECONDS = 60


def load(against: str, environment: Mapping[str, Any], root: Path | None = None) -> Files:
    """The files that a bundle of that policy would hold.

    Args:
        against: a checkout, its `policies` directory, or a git revision of `root`.
        environment: as `environment.environment` makes it.
        root: the checkout; by default the one that runs.

    Raises:
        ConfigError: there is no such directory or revision, or a file in it cannot be read.
    """
    directory = Path(against)
    if against and directory.is_dir():
        return contents(policies_of(directory), environment)
    with checked_out(against, root or repository_root()) as checkout:
        return contents(policies_of(checkout), environment)


def commit(revision: str, root: Path) -> str:
    """The commit of a revision, 40 hexadecimal digits or more.

    Raises:
        ConfigError: there is none, or `root` is no git checkout.
    """
    # Whatever stands there is a revision, even if it begins like an option.
    done = _git(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    if done.returncode != 0:
        raise ConfigError(
            f"{revision!r} is neither a directory with policies nor a git revision of {root}"
        )
    return done.stdout.decode("ascii").strip()


def unpack(files: Mapping[str, bytes], directory: Path) -> None:
    """Writes the files where a bundle would have them."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextlib.contextmanager
def unpacked(files: Mapping[str, bytes]) -> Iterator[Path]:
    """The files in a directory of their own, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="paymesh-policy-") as scratch:
        unpack(files, Path(scratch))
        yield Path(scratch)


def compile_strictly(pdp: Path, directory: Path) -> None:
    """Compiles an unpacked policy as strictly as one that is published.

    Raises:
        SetupError: it does not compile; the compiler's own words.
    """
    try:
        done = subprocess.run(
            [pdp, "check", "--strict", "--bundle", "."],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_CHECK_SECONDS,
            check=False,
        )
    except OSError as error:
        raise SetupError(f"{pdp} cannot be started: run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"the policy did not compile in {_CHECK_SECONDS} s") from error
    if done.returncode != 0:
        words = done.stdout.decode(errors="replace").strip()
        raise SetupError(f"the policy does not compile: {words}")


def policies_of(directory: Path) -> Path:
    """The `policies` directory of a checkout, or the directory itself if it is one.

    Raises:
        ConfigError: it is neither.
    """
    for place in (directory / "policies", directory):
        if all((place / root).is_dir() for root in ROOTS):
            return place
    raise ConfigError(
        f"{directory} holds no policies: name a checkout or a directory"
        f" with {' and '.join(f'{root}/' for root in ROOTS)}"
    )


@contextlib.contextmanager
def checked_out(revision: str, root: Path) -> Iterator[Path]:
    """A git revision's policies and deploy/mesh.yaml, in a directory that is removed afterwards.

    Raises:
        ConfigError: there is no such revision, or it has no policies.
    """
    found = commit(revision, root)
    done = _git(root, "archive", "--format=tar", found, "--", "policies", "deploy/mesh.yaml")
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()
        raise ConfigError(f"{revision} has no policies: {words}")
    with tempfile.TemporaryDirectory(prefix="paymesh-policy-") as scratch:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(scratch, filter="data")
        if not all((Path(scratch) / "policies" / part).is_dir() for part in ROOTS):
            raise ConfigError(f"{revision} has no policies yet: name a later revision")
        yield Path(scratch)


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", root, *arguments],  # noqa: S607 — the user's own
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except OSError as error:
        raise ConfigError("git is missing: install it, or name a directory") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"git did not answer in {_GIT_SECONDS} s") from error
