"""How fast recorded decisions are replayed, and that the same policy changes none of them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from paymesh.errors import ConfigError, PaymeshError, StartError
from paymesh.policy import publisher
from paymesh.policy.bench.site import Site
from paymesh.policy.names import FILE_NAME

# A record of a call with a user, rather long ones.
_RECORD_BYTES = 2200
_SECONDS = 3600


class ChangedError(PaymeshError):
    """Replay against the policy that decided has changed something."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """Seconds are those of a person who waits: reading and starting included."""

    records: int
    distinct: int
    log_bytes: int
    seconds: float
    records_per_second: int


def measure(records: int, said: Callable[[str], None]) -> Measured:
    """Makes a log of so many decisions by the checkout's policy and replays it against that.

    Raises:
        ChangedError: a decision came out differently.
        PaymeshError: there is no room for the log, or the program failed.
    """
    with tempfile.TemporaryDirectory(prefix="pm-") as directory:
        needed, free = records * _RECORD_BYTES, shutil.disk_usage(directory).free
        if free < needed:
            raise ConfigError(
                f"{records} records take {needed >> 20} MiB and {free >> 20} are left in"
                f" {tempfile.gettempdir()}: ask for fewer, or set TMPDIR"
            )
        site = Site.make(Path(directory), 0)
        status = asyncio.run(publisher.publish_once(site.settings()))
        if status.state != "ok":
            raise StartError(f"the checkout's policy is refused: {status.problem}")
        log, policy = site.directory / "decisions.jsonl", site.bundles / FILE_NAME
        said(f"{records} decisions to be made and recorded")
        with log.open("wb") as file:
            _run(site, ["replay-sample", "--bundle", policy, "--records", str(records)], file)
        said("them to be replayed")
        began = time.monotonic()
        found = json.loads(_run(site, ["replay", "--bundle", policy, log], subprocess.PIPE))
        seconds = time.monotonic() - began
        log_bytes = log.stat().st_size
    if found["changes"] or found["unchanged"] != records:
        raise ChangedError(
            f"of {records} decisions {found['unchanged']} came out as they were:"
            " replay is not exact; this is a bug"
        )
    return Measured(
        records, found["distinct"], log_bytes, round(seconds, 2), round(records / seconds)
    )


def _run(site: Site, arguments: list[str | Path], output: int | IO[bytes]) -> bytes:
    done = subprocess.run(
        [site.pdp, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode != 0:
        raise StartError(f"{arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout or b""
