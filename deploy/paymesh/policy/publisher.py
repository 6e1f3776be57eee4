"""Follows edits of `policies/` and publishes what compiles.

    settings = Settings(root=…, directory=…, key=…, environment=…, pdp=…, status_file=…)
    status = await publish_once(settings)     # at start: refused means there is nothing to serve
    await watch(settings)                     # until cancelled

What is refused leaves the bundle that was published before in force; the status
file says why, for `paymesh status` and for whoever just saved the file.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import watchfiles
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.errors import PaymeshError, SetupError
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh
from paymesh.policy import bundle, coverage
from paymesh.policy.contents import Files, contents, digest
from paymesh.runtime.files import write_file

DEBOUNCE_MS = 60
_STEP_MS = 50
_FIRST_LOOK_MS = 1000
_CHECK_SECONDS = 20
_LONGEST_PROBLEM = 4000
_SUFFIXES = (".rego", ".yaml", ".binpb")


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
    """

    root: Path
    directory: Path
    key: ec.EllipticCurvePrivateKey
    environment: Mapping[str, Any]
    pdp: Path
    status_file: Path

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

    state: Literal["ok", "refused"]
    revision: str | None
    problem: str
    time: str


async def publish_once(settings: Settings) -> Status:
    """Publishes `policies/` as it stands, unless that is what is published already.

    Never raises for what somebody wrote into a file: that is a status.

    Raises:
        OSError: the status file cannot be written.
    """
    before: str | None = None
    try:
        published = await asyncio.to_thread(
            bundle.published, settings.directory, settings.key.public_key()
        )
        before = published.revision if published else None
        files = await asyncio.to_thread(collect, settings.root, settings.environment)
        if published is None or digest(published.files) != digest(files):
            await compile_files(settings.pdp, files)
            latest = await asyncio.to_thread(_latest_revision, settings, before)
            revision = bundle.next_revision(files, latest, time.time_ns() // 1_000_000)
            fresh = await asyncio.to_thread(bundle.build, files, revision, settings.key)
            await asyncio.to_thread(bundle.publish, fresh, settings.directory)
            before = revision
        status = Status("ok", before, "", _now())
    except (PaymeshError, OSError) as error:
        status = Status("refused", before, str(error)[:_LONGEST_PROBLEM], _now())
    text = json.dumps(dataclasses.asdict(status), indent=2) + "\n"
    await asyncio.to_thread(write_file, settings.status_file, text, 0o644)
    return status


async def watch(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """Publishes after every edit, until `stop` is set or the task is cancelled.

    An edit is picked up DEBOUNCE_MS after its first write at the latest; one
    that comes while another is being published is published after it.
    """
    changes = watchfiles.awatch(
        settings.policies,
        watch_filter=lambda _, path: path.endswith(_SUFFIXES),
        debounce=DEBOUNCE_MS,
        step=_STEP_MS,
        rust_timeout=_FIRST_LOOK_MS,
        yield_on_timeout=True,
        stop_event=stop,
    )
    # The first look is for what was edited before the watch stood.
    has_looked = False
    async for edits in changes:
        if edits or not has_looked:
            await publish_once(settings)
            has_looked = True


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
    policies = root / "policies"
    coverage.check(
        load_mesh(root),
        load_grants(root),
        coverage.rpcs(policies / "descriptors.binpb"),
        coverage.conditions(policies),
    )
    return contents(policies, environment)


async def compile_files(pdp: Path, files: Files) -> None:
    """Compiles exactly the bytes that are going to be signed, not what the files say by then.

    Raises:
        SetupError: they do not compile; the compiler's own words.
    """
    with tempfile.TemporaryDirectory(prefix="paymesh-policy-") as scratch:
        for name, content in files.items():
            path = Path(scratch) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            process = await asyncio.create_subprocess_exec(
                str(pdp),
                *("check", "--strict", "--bundle", "."),
                cwd=scratch,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            raise SetupError(f"{pdp} cannot be started: run `make setup`") from error
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError as error:
            raise SetupError(f"policies/ did not compile in {_CHECK_SECONDS} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode != 0:
        raise SetupError(f"policies/ does not compile: {output.decode(errors='replace').strip()}")


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
