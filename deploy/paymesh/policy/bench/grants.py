"""What a decision costs among many grants, and what a grant takes of a decision point's memory.

Two policies, one with few grants and one with many, decide in turns in one process, so that
whatever else the machine does falls on both. Each is asked as much of every kind: a call that
is granted, one that lacks a user, one that nobody granted, one that is closed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from paymesh.errors import StartError
from paymesh.grants import load_grants
from paymesh.policy import publisher
from paymesh.policy.bench import points
from paymesh.policy.bench.site import Site
from paymesh.policy.names import FILE_NAME

_ROUNDS = 30
_DECISIONS = 2000
_QUESTIONS = 1000
_SECONDS = 600
# The decision point gives back what its start needed after five seconds.
_SETTLE_SECONDS = 7.0
_HEALTH = "/grpc.health.v1.Health/Check"


@dataclasses.dataclass(frozen=True)
class Measured:
    """Of a decision: nanoseconds, the median of all rounds. The ratio's spread is that of the
    rounds between the tenth and the ninetieth percentile.

    Of a grant: bytes of the heap that the policy in force holds, and bytes that a running
    decision point takes more of the machine, garbage included.
    """

    few_grants: int
    many_grants: int
    few_ns: int
    many_ns: int
    ratio: float
    ratio_p10: float
    ratio_p90: float
    heap_bytes_per_grant: int
    process_bytes_per_grant: int


def measure(many: int, said: Callable[[str], None]) -> Measured:
    """Measures the checkout's own policy beside one with `many` grants.

    Args:
        many: grants; at least some hundreds, or the memory of one cannot be told.
        said: is told what is waited for.

    Raises:
        PaymeshError: something did not start.
    """
    with tempfile.TemporaryDirectory(prefix="pm-") as directory:
        sites = []
        for name, grants in (("few", 0), ("many", many)):
            said(f"the policy with {name} grants")
            place = Path(directory, name)
            place.mkdir()
            site = Site.make(place, grants)
            status = asyncio.run(publisher.publish_once(site.settings()))
            if status.state != "ok":
                raise StartError(f"the checkout's policy is refused: {status.problem}")
            sites.append(site)
        counts = [len(load_grants(site.checkout).grants) for site in sites]
        said(f"{2 * _ROUNDS} rounds of {_DECISIONS} decisions")
        few, many_ = _decisions(sites)
        said("decision points to settle")
        processes = [_private_bytes(site) for site in sites]
    ratios = [b / a for a, b in zip(few["nanoseconds"], many_["nanoseconds"], strict=True)]
    tenths = statistics.quantiles(ratios, n=10)
    more = counts[1] - counts[0]
    return Measured(
        few_grants=counts[0],
        many_grants=counts[1],
        few_ns=round(statistics.median(few["nanoseconds"])),
        many_ns=round(statistics.median(many_["nanoseconds"])),
        ratio=round(statistics.median(ratios), 3),
        ratio_p10=round(tenths[0], 3),
        ratio_p90=round(tenths[-1], 3),
        heap_bytes_per_grant=(many_["heap_bytes"] - few["heap_bytes"]) // more,
        process_bytes_per_grant=(processes[1] - processes[0]) // more,
    )


def _decisions(sites: Iterable[Site]) -> list[Mapping[str, Any]]:
    arguments: list[str | Path] = []
    for site in sites:
        asked = site.directory / "questions.jsonl"
        lines = (json.dumps(question) for question in _questions(site))
        asked.write_text("\n".join(lines) + "\n", "utf-8")
        arguments += [site.bundles / FILE_NAME, asked]
    done = subprocess.run(
        [
            site.pdp,
            *("bench-decisions", "--rounds", str(_ROUNDS), "--decisions", str(_DECISIONS)),
            *arguments,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode != 0:
        raise StartError(f"decisions cannot be measured: {done.stderr.strip()}")
    found: list[Mapping[str, Any]] = json.loads(done.stdout)["policies"]
    return found


def _questions(site: Site) -> Iterator[Mapping[str, Any]]:
    """Of each kind as many, each kind spread over all that the policy has of it."""
    found = load_grants(site.checkout)
    granted = {(grant.caller, grant.rpc) for grant in found.grants}
    needs_user = [
        (grant.caller, grant.rpc)
        for grant in found.grants
        if grant.conditions[:1] == ("user_is_customer",)
    ]
    callers, rpcs = sorted(site.mesh.workloads), sorted({rpc for _, rpc in granted})
    ungranted = [pair for pair in itertools.product(callers, rpcs) if pair not in granted]
    closed = [("gateway", rpc) for rpc in sorted(found.closed)]
    chosen = random.Random(0)  # noqa: S311 — the same at each run
    for _ in range(_QUESTIONS):
        yield _question(site, "gateway", _HEALTH, "ALLOWED")
        yield _question(site, *chosen.choice(needs_user), "USER_TOKEN_MISSING")
        yield _question(site, *chosen.choice(ungranted), "RPC_NOT_GRANTED")
        yield _question(site, *chosen.choice(closed), "RPC_CLOSED")


def _question(site: Site, caller: str, rpc: str, reason: str) -> Mapping[str, Any]:
    http = {"method": "POST", "path": rpc, "headers": {"content-type": "application/grpc"}}
    attributes = {"source": {"principal": site.principal(caller)}, "request": {"http": http}}
    return {"input": {"attributes": attributes, "parsed_body": {}}, "reason": reason}


def _private_bytes(site: Site) -> int:
    """What one decision point with the site's policy has of the machine for itself alone."""
    with points.running(site, 1) as (point,):
        time.sleep(_SETTLE_SECONDS)
        lines = Path(f"/proc/{point.pid}/smaps_rollup").read_text("ascii").splitlines()
    kib = {name: int(words[0]) for name, *words in (line.split() for line in lines[1:])}
    return 1024 * (kib["Private_Dirty:"] + kib["Private_Clean:"])
