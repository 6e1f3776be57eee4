"""Publishes `policies/` when it compiles.

    settings = Settings(root=…, directory=…, key=…, environment=…, pdp=…, status_file=…, archive=…)
    status = await publish_once(settings)     # refused at start: there is nothing to serve

What is refused leaves the bundle that was published before in force; the status
file says why, for `paymesh status` and for whoever just saved the file. `edits`
publishes again after every edit.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import functools
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.errors import PaymeshError, SetupError
from paymesh.mesh import load_mesh
from paymesh.policy import bundle, coverage
from paymesh.policy.archive import Archive
from paymesh.policy.bundle import Bundle
from paymesh.policy.compiler import compile_files
from paymesh.policy.contents import Cache, Contents, Files, digest, read
from paymesh.policy.watching import Settled
from paymesh.runtime.files import write_file

_LONGEST_PROBLEM = 4000
_PRUNE_EVERY = 20

State = Literal["ok", "refused"]
Compiled = Callable[[Mapping[str, bytes]], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is published, from where to where.

    Attributes:
        root: the checkout with `policies/` and `deploy/mesh.yaml`.
        directory: the server's.
        key: of the signature.
        environment: as `environment.environment` makes it.
        pdp: the decision point's program, which compiles what is to be published.
        status_file: replaced after every attempt.
        archive: where every published bundle is kept; made when it is needed.
    """

    root: Path
    directory: Path
    key: ec.EllipticCurvePrivateKey
    environment: Mapping[str, Any]
    pdp: Path
    status_file: Path
    archive: Path

    @property
    def policies(self) -> Path:
        """The directory that is watched."""
        return self.root / "policies"


@dataclasses.dataclass(frozen=True)
class Status:
    """How the last attempt went.

    Attributes:
        state: `refused` leaves the bundle before in force.
        revision: of the bundle that is in force; None when there is none.
        problem: why it was refused, for people; empty otherwise.
        time: RFC 3339, UTC.
    """

    state: State
    revision: str | None
    problem: str
    time: str


@dataclasses.dataclass(frozen=True)
class _Attempt:
    """What there is to publish, with the reviewers' file, or why there is nothing; neither
    when it is published already.
    """

    fresh: tuple[Bundle, bytes] | None = None
    problem: str = ""


class Publisher:
    """Publishes one checkout again and again, and reads what has not changed only once.

    Args:
        settings: what, from where to where.
        compiled: compiles, or raises SetupError.
    """

    def __init__(self, settings: Settings, compiled: Compiled) -> None:
        self._settings = settings
        self._compiled = compiled
        self._cache = Cache()
        self._archive = Archive(settings.archive, settings.key.public_key())
        # What is in force, and the digest of its contents, as long as its file is the same.
        self._live: Bundle | None = None
        self._live_digest = ""
        self._kept = 0

    async def publish(self) -> Status:
        """Publishes `policies/` as it stands, unless that is what is published already.

        Never raises for what somebody wrote into a file: that is a status.

        Raises:
            OSError: the status file cannot be written.
        """
        return await asyncio.to_thread(self._finish, await self._attempt())

    async def publish_if(self, settled: Settled) -> Status | None:
        """As `publish`, but when all is ready it asks whether what was read is how things
        still stand. If not, nothing happens, and there is no status.

        Raises:
            OSError: as `publish`.
        """
        attempt = await self._attempt()
        return await asyncio.to_thread(self._finish, attempt) if await settled() else None

    async def _attempt(self) -> _Attempt:
        try:
            return _Attempt(await self._prepare())
        except (PaymeshError, OSError) as error:
            return _Attempt(problem=str(error))
        except Exception as error:  # noqa: BLE001 — no file may end whoever publishes
            return _Attempt(problem=f"policies/ cannot be read: {type(error).__name__}: {error}")

    async def _prepare(self) -> tuple[Bundle, bytes] | None:
        """A bundle that compiles, with the reviewers' file; None when it is published already."""
        contents = await asyncio.to_thread(self._read)
        if self._live is not None and digest(contents.files) == self._live_digest:
            return None
        settings = self._settings
        latest = _latest_revision(settings, self._live.revision if self._live else None)
        revision = bundle.next_revision(contents.files, latest, time.time_ns() // 1_000_000)
        signing = asyncio.to_thread(bundle.build, contents.files, revision, settings.key)
        _, fresh = await asyncio.gather(self._compiled(contents.files), signing)
        return fresh, contents.text

    def _read(self) -> Contents:
        self._look_at_live()
        return read_checked(self._settings.root, self._settings.environment, self._cache)

    def _look_at_live(self) -> None:
        """What is published, verified unless it is the very bytes that are known."""
        data = bundle.published_bytes(self._settings.directory)
        if self._live is None or data != self._live.data:
            self._take(bundle.verified(data, self._settings.key.public_key()))

    def _take(self, live: Bundle | None) -> None:
        self._live, self._live_digest = live, digest(live.files) if live else ""

    def _finish(self, attempt: _Attempt) -> Status:
        """Keeps the bundle, publishes it, and says how it went."""
        problem = attempt.problem
        try:
            if attempt.fresh is not None:
                fresh, grants = attempt.fresh
                self._archive.keep(fresh, grants)
                bundle.publish(fresh, self._settings.directory)
                self._take(fresh)
                self._kept += 1
        except OSError as error:
            problem = str(error)
        revision = self._live.revision if self._live else None
        state: State = "refused" if problem else "ok"
        status = Status(state, revision, problem[:_LONGEST_PROBLEM], _now())
        text = json.dumps(dataclasses.asdict(status), indent=2) + "\n"
        write_file(self._settings.status_file, text, 0o644)
        return status

    def prune(self) -> None:
        """Keeps the archive within its limits, now and then. For when nobody waits."""
        if self._kept >= _PRUNE_EVERY and self._live is not None:
            with contextlib.suppress(OSError):
                self._archive.prune(self._live.revision)
            self._kept = 0


async def publish_once(settings: Settings) -> Status:
    """As `Publisher.publish`, with a compiler for this one."""
    return await Publisher(settings, functools.partial(compile_files, settings.pdp)).publish()


def read_status(status_file: Path) -> Status | None:
    """How the last attempt went; None before the first.

    Raises:
        SetupError: the file is not one of ours.
    """
    try:
        return Status(**json.loads(status_file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as error:
        raise SetupError(f"{status_file} is damaged: remove it") from error


def _latest_revision(settings: Settings, published: str | None) -> str | None:
    """The status file remembers a revision whose bundle was damaged or signed by an old key;
    decision points remember it too, and take nothing older.
    """
    try:
        status = read_status(settings.status_file)
    except SetupError:
        status = None
    noted = status.revision if status else None
    return max(filter(None, (published, noted)), default=None)


def collect(root: Path, environment: Mapping[str, Any]) -> Files:
    """What a bundle of the checkout would hold, its grants compared with what there is.

    Raises:
        PaymeshError: says what is wrong with a file or a grant.
    """
    return read_checked(root, environment, Cache()).files


def read_checked(root: Path, environment: Mapping[str, Any], cache: Cache) -> Contents:
    """As `collect`, with what it came from.

    Raises:
        PaymeshError: as `collect`.
    """
    policies = root / "policies"
    found = read(policies, environment, cache)
    descriptors = policies / "descriptors.binpb"
    rpcs = cache.made(descriptors, coverage.read_descriptors(descriptors), coverage.parse_rpcs)
    coverage.check(load_mesh(root), found.grants, rpcs, coverage.conditions(policies))
    return found


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
