"""SVIDs that live for seconds: minted, or by a registration entry that is soon deleted."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from paymesh import binaries, dial
from paymesh.attack.lifetimes.place import Place
from paymesh.errors import StartError
from paymesh.render import spire

_TOOL_SECONDS = 20.0
_SYNC_SECONDS = 8.0
# The server itself deletes an entry that was left behind.
_ENTRY_SECONDS = 60


def mint(place: Place, workload: str, ttl_seconds: int) -> dial.Svid:
    """An SVID that no registration entry stands behind, from the server's admin API.

    Raises:
        StartError: the server refused.
    """
    with tempfile.TemporaryDirectory(prefix="pm-life-") as directory:
        _ask(
            place,
            *("x509", "mint", "-ttl", f"{ttl_seconds}s", "-write", directory),
            *("-spiffeID", place.mesh.spiffe_id(workload)),
        )
        made = Path(directory)
        return dial.Svid(
            place.mesh.spiffe_id(workload),
            *((made / f"{name}.pem").read_bytes() for name in ("svid", "key", "bundle")),
        )


def end_of(svid: dial.Svid) -> float:
    """The last moment of its validity, in seconds since the epoch."""
    return x509.load_pem_x509_certificate(svid.certificates).not_valid_after_utc.timestamp()


@contextlib.contextmanager
def registered(place: Place, workload: str, ttl_seconds: int) -> Iterator[None]:
    """Inside the block the thief's uid has an entry with this workload's identity.

    Raises:
        StartError: the server refused.
    """
    thief = place.thief()
    shown = _ask(
        place,
        *("entry", "create", "-output", "json"),
        *("-parentID", spire.agent_id(place.mesh)),
        *("-spiffeID", place.mesh.spiffe_id(workload)),
        *("-selector", f"unix:uid:{thief.uid}"),
        *("-x509SVIDTTL", str(ttl_seconds)),
        *("-entryExpiry", str(int(time.time()) + _ENTRY_SECONDS)),
    )
    entry = json.loads(shown)["results"][0]["entry"]["id"]
    try:
        yield
    finally:
        _ask(place, "entry", "delete", "-entryID", entry)


def fetch(place: Place) -> dial.Svid:
    """What the agent gives to the thief's uid, once it has heard of the entry.

    Raises:
        StartError: it never did.
    """
    socket = f"unix://{place.paths.workload('spire-agent')}/api.sock"
    member = place.thief(place.mesh.agent_gid)
    deadline = time.monotonic() + _SYNC_SECONDS
    while True:
        try:
            return dial.read_svid(
                place.run(
                    ["-c", dial.FETCH_SVID], member, environment={"SPIFFE_ENDPOINT_SOCKET": socket}
                )
            )
        except StartError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _ask(place: Place, noun: str, verb: str, *arguments: str) -> str:
    socket = place.paths.workload("spire-server") / "private.sock"
    done = subprocess.run(
        [
            *(binaries.built(place.paths, "spire-server"), noun, verb),
            *("-socketPath", str(socket), *arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TOOL_SECONDS,
        umask=0o077,
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise StartError(f"spire-server {noun} {verb} failed: {last[0]}")
    return done.stdout
