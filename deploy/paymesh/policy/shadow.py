"""A candidate policy beside the live one: asked about live traffic, enforced by nobody.

    candidate = switch_on(place, pdp, "main~1", ["authz"])   # published; decision points fetch it
    switch_off(place)

A candidate is a bundle like the live one, checked like it before it is signed, but with
a key and a name of its own, and with `data.paymesh.shadow.packages`: the packages whose
decision is put to it. None of them is off.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.errors import ConfigError, SetupError
from paymesh.paths import Paths
from paymesh.policy import bundle, candidate
from paymesh.policy.contents import ENVIRONMENT, Files
from paymesh.policy.names import SHADOW_FILE_NAME as FILE_NAME
from paymesh.policy.names import SHADOW_KEY_ID as KEY_ID
from paymesh.runtime import pki

# What is asked, by the word for it on the command line.
PACKAGES: Mapping[str, str] = {"authz": "paymesh.authz", "objects": "paymesh.objects"}

_SWITCH = "paymesh/shadow/data.json"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where candidates are published, and what they are made with.

    Attributes:
        directory: the bundle server's.
        key: of the candidates' signature.
        live_key: that the live policy is verified with, whose environment a candidate gets.
    """

    directory: Path
    key: ec.EllipticCurvePrivateKey
    live_key: ec.EllipticCurvePublicKey


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What is published: `packages` as the policy calls them, none when it is off."""

    revision: str
    packages: tuple[str, ...]
    files: Files = dataclasses.field(repr=False)


def place_of(paths: Paths) -> Place:
    """The mesh of a home.

    Raises:
        ConfigError: no mesh was ever started there.
    """
    for key in (paths.bundle_signing_key, paths.shadow_signing_key):
        if not key.exists():
            raise ConfigError(f"{key} is missing: start the mesh with `paymesh up`")
    return Place(
        paths.bundles,
        pki.ensure_key(paths.shadow_signing_key),
        pki.ensure_key(paths.bundle_signing_key).public_key(),
    )


def published(place: Place) -> Candidate | None:
    """The candidate that decision points are offered; None when there never was one.

    Raises:
        OSError: the bundle is there and cannot be read.
    """
    found = bundle.published(place.directory, place.key.public_key(), KEY_ID, FILE_NAME)
    if found is None:
        return None
    packages = json.loads(found.files[_SWITCH])["packages"]
    return Candidate(found.revision, tuple(packages), found.files)


def switch_on(
    place: Place,
    pdp: Path,
    against: str | None,
    packages: Collection[str],
    root: Path | None = None,
) -> Candidate:
    """Publishes a candidate.

    Args:
        place: where.
        pdp: the decision point's program, which compiles what is to be published.
        against: a checkout, a directory with policies, or a git revision of `root`; None for
            the candidate that is published, with these packages besides those that are on.
        packages: words of PACKAGES; empty for all.
        root: the checkout; by default the one that runs.

    Raises:
        ConfigError: there is no such policy, or nothing to add packages to.
        SetupError: it does not compile, or no policy is live.
    """
    wanted = {PACKAGES[word] for word in packages or PACKAGES}
    if against is not None:
        files = candidate.load(against, _environment(place), root)
        with candidate.unpacked(files) as directory:
            candidate.compile_strictly(pdp, directory)
        return _publish(place, files, wanted)
    present = published(place)
    if present is None or not present.packages:
        raise ConfigError("there is no candidate yet: name one with --against DIR|REV")
    return _publish(place, present.files, wanted | set(present.packages))


def switch_off(place: Place, packages: Collection[str] = ()) -> Candidate | None:
    """Takes packages out, all of them when none is named; None when nothing was on.

    Args:
        place: where.
        packages: words of PACKAGES.
    """
    present = published(place)
    if present is None or not present.packages:
        return None
    left = set(present.packages) - {PACKAGES[word] for word in packages or PACKAGES}
    # What is asked nothing needs no rules.
    return _publish(place, present.files if left else {}, left)


def _publish(place: Place, files: Mapping[str, bytes], packages: Collection[str]) -> Candidate:
    switch = {"packages": sorted(packages)}
    content = {**files, _SWITCH: json.dumps(switch, separators=(",", ":")).encode() + b"\n"}
    before = published(place)
    revision = bundle.next_revision(
        content, before.revision if before else None, time.time_ns() // 1_000_000
    )
    made = bundle.build(content, revision, place.key, KEY_ID)
    bundle.publish(made, place.directory, FILE_NAME)
    return Candidate(revision, tuple(switch["packages"]), made.files)


def _environment(place: Place) -> dict[str, Any]:
    """The live policy's own, so that the two are told the same about the mesh."""
    live = bundle.published(place.directory, place.live_key)
    if live is None:
        raise SetupError("no policy is published: start the mesh with `paymesh up`")
    found: dict[str, Any] = json.loads(live.files[ENVIRONMENT])
    return found
