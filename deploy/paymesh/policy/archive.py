"""Every bundle that was published, with the reviewers' file that its grants came from.

A decision names the revision that made it. Replaying or explaining it takes the rules and
the data of that revision, and the lines of the file as they stood then.

    archive = Archive(paths.policy_archive, public_key)
    archive.keep(bundle, grants)          # before it is published
    archive.prune(live=bundle.revision)   # afterwards, when nobody waits
    kept = archive.find(revision)         # None: it was never there, or is no longer
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.policy.bundle import Bundle, BundleError, stamp_ms, verify
from paymesh.runtime.files import ensure_directory, write_file

MAX_COUNT = 2000
MAX_BYTES = 512 << 20

_BUNDLE = ".tar.gz"
_GRANTS = ".grants.yaml"


@dataclasses.dataclass(frozen=True)
class Kept:
    """A bundle that was published, and `policies/paymesh/grants/data.yaml` of then as text."""

    bundle: Bundle
    grants: bytes


class Archive:
    """A directory with two files for each revision.

    Args:
        directory: made at the first bundle, mode 0700; its parent must exist.
        public_key: of the signature. What another key has signed is not found.
        max_count: revisions that are kept.
        max_bytes: that all files together may have.
    """

    def __init__(
        self,
        directory: Path,
        public_key: ec.EllipticCurvePublicKey,
        *,
        max_count: int = MAX_COUNT,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._directory = directory
        self._public_key = public_key
        self._max_count = max_count
        self._max_bytes = max_bytes

    def keep(self, bundle: Bundle, grants: bytes) -> None:
        """Writes both files; the bundle last, because it is what `find` looks for.

        Raises:
            OSError: they could not be written; then the bundle must not be published.
        """
        ensure_directory(self._directory, 0o700)
        write_file(self._path(bundle.revision, _GRANTS), grants, 0o600)
        write_file(self._path(bundle.revision, _BUNDLE), bundle.data, 0o600)

    def find(self, revision: str) -> Kept | None:
        """None when there is none, or none that verifies.

        Raises:
            BundleError: `revision` is none at all.
            OSError: it is there and cannot be read.
        """
        stamp_ms(revision)  # nothing else may become part of a path
        try:
            bundle = verify(self._path(revision, _BUNDLE).read_bytes(), self._public_key)
            grants = self._path(revision, _GRANTS).read_bytes()
        except (FileNotFoundError, BundleError):
            return None
        return Kept(bundle, grants) if bundle.revision == revision else None

    def revisions(self) -> list[str]:
        """All that are there, the oldest first."""
        return sorted(
            name.removesuffix(_BUNDLE) for name in self._names() if name.endswith(_BUNDLE)
        )

    def prune(self, live: str) -> None:
        """Removes the oldest until the limits hold.

        Args:
            live: the revision that is in force, which stays whatever its age.
        """
        bytes_of: dict[str, int] = {}
        for name in self._names():
            revision = name.removesuffix(_BUNDLE).removesuffix(_GRANTS)
            size = (self._directory / name).stat().st_size
            bytes_of[revision] = bytes_of.get(revision, 0) + size
        count, total = len(bytes_of), sum(bytes_of.values())
        for revision in sorted(bytes_of.keys() - {live}):
            if count <= self._max_count and total <= self._max_bytes:
                break
            for suffix in (_BUNDLE, _GRANTS):
                self._path(revision, suffix).unlink(missing_ok=True)
            count, total = count - 1, total - bytes_of[revision]

    def _path(self, revision: str, suffix: str) -> Path:
        return self._directory / f"{revision}{suffix}"

    def _names(self) -> list[str]:
        """Of our own files: a half-written one has another name and is left to its writer."""
        try:
            names = [path.name for path in self._directory.iterdir()]
        except FileNotFoundError:
            return []
        return [n for n in names if n.endswith((_BUNDLE, _GRANTS)) and not n.startswith(".")]
