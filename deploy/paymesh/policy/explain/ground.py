"""The policy that a decision rests on: that of its own revision, or the nearest there is."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec

from paymesh import yamltext
from paymesh.errors import ConfigError, PaymeshError
from paymesh.mesh import load_mesh
from paymesh.paths import Paths
from paymesh.policy import bundle, candidate
from paymesh.policy.archive import Archive
from paymesh.policy.contents import ENVIRONMENT, Files, contents
from paymesh.policy.environment import environment
from paymesh.policy.log import files as logs
from paymesh.runtime import pki

Source = Literal["archive", "published bundle", "checkout"]
_LIMITS = "paymesh/grants/data.json"
_INDEX = "paymesh/index/data.json"
_REVIEWERS_FILE = "policies/paymesh/grants/data.yaml"


@dataclasses.dataclass(frozen=True)
class Ground:
    """A policy to ask again.

    Attributes:
        revision: of the files; None when they were never published.
        files: as in the bundle.
        reviewers_file: what the grants were made from, as text, for the numbers of its lines;
            None when it has changed since.
        source: where they come from.
        wanted: the revision that decided.
    """

    revision: str | None
    files: Files
    reviewers_file: bytes | None
    source: Source
    wanted: str

    @property
    def is_exact(self) -> bool:
        """Whether it is the policy that decided."""
        return self.revision == self.wanted

    @functools.cached_property
    def grants(self) -> list[dict[str, Any]]:
        """Every grant with its RPC and caller; what only people need, such as why, is known
        where the reviewers' file is.
        """
        if self.reviewers_file is not None:
            found: list[dict[str, Any]] = yamltext.load(self.reviewers_file)["grants"]
            return found
        return [
            {"rpc": rpc, "caller": caller, **grant}
            for rpc, callers in self.data("index").get("grants", {}).items()
            for caller, grants in callers.items()
            for grant in grants
        ]

    def data(self, name: str) -> Any:
        """`data.paymesh.<name>` as the bundle has it; an empty mapping when it has none."""
        return json.loads(self.files.get(f"paymesh/{name}/data.json", b"{}"))


def find(paths: Paths, root: Path, revision: str) -> Ground:
    """The policy of a revision from the archive, else what is published, else the checkout.

    Raises:
        ConfigError: the archive may not be read, or there is no policy at all.
    """
    try:
        key = _public_key(paths)
        kept = _archived(paths, key, revision)
        if kept is not None:
            return kept
        published = bundle.published(paths.bundles, key) if key else None
    except PermissionError as error:
        raise logs.forbidden(error) from error
    if published is not None and published.revision == revision:
        text = _reviewers_file(root, published.files)
        return Ground(revision, published.files, text, "published bundle", revision)
    known = _environment(paths, root, published.files if published else {})
    files = candidate.load(str(root), known)
    return Ground(None, files, _reviewers_file(root, files), "checkout", revision)


def _archived(paths: Paths, key: ec.EllipticCurvePublicKey | None, revision: str) -> Ground | None:
    if key is None:
        return None
    try:
        kept = Archive(paths.policy_archive, key).find(revision)
    except bundle.BundleError:
        return None  # the record names no revision
    if kept is None:
        return None
    return Ground(revision, kept.bundle.files, kept.grants, "archive", revision)


def _public_key(paths: Paths) -> ec.EllipticCurvePublicKey | None:
    """That bundles are signed by; None in a home that never had one."""
    path = paths.bundle_signing_key
    return pki.ensure_key(path).public_key() if path.exists() else None


def _environment(paths: Paths, root: Path, published: Mapping[str, bytes]) -> dict[str, Any]:
    """What the mesh told its last policy; for a mesh that has none, what it would tell."""
    if ENVIRONMENT in published:
        found: dict[str, Any] = json.loads(published[ENVIRONMENT])
        return found
    try:
        return environment(load_mesh(root), (paths.issuer / "jwks.json").read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"there is no policy in {paths.home} to ask: run `paymesh up` once"
        ) from error


def _reviewers_file(root: Path, files: Mapping[str, bytes]) -> bytes | None:
    """The checkout's, if the bundle has been made from one that says the same."""
    try:
        now = contents(root / "policies", {})
        text = (root / _REVIEWERS_FILE).read_bytes()
    except (PaymeshError, OSError):
        return None
    return text if all(now[name] == files.get(name) for name in (_LIMITS, _INDEX)) else None
