"""What decision points say about a shadow policy: their counts, and where it differs."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from paymesh.errors import SetupError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.render.pdp import SHADOW_DIFFERENCES, SHADOW_STATE

KINDS = ("deny_to_allow", "allow_to_deny", "reason", "grant")
_EXAMPLES = 3
_LOOK_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class State:
    """One decision point's counts of its present candidate.

    Attributes:
        workload: whose decision point it is.
        revision: of the candidate that is asked; empty when there is none.
        packages: whose decision is put to it.
        since: RFC 3339; when it came.
        problem: why what was fetched last is not used; empty when it is.
        refused: the revision that the problem is with; empty when nobody vouches for one.
        evaluated: decisions that were put to it.
        deny_to_allow: of these, refused and would be allowed.
        allow_to_deny: the reverse.
        reason: the same answer for another reason.
        grant: the same answer by another grant.
        errors: it had no answer, or none that is a decision.
        dropped: not put to it for want of room.
        unwritten: differences that are counted and could not be listed.
    """

    workload: str
    revision: str = ""
    packages: tuple[str, ...] = ()
    since: str = ""
    problem: str = ""
    refused: str = ""
    evaluated: int = 0
    deny_to_allow: int = 0
    allow_to_deny: int = 0
    reason: int = 0
    grant: int = 0
    errors: int = 0
    dropped: int = 0
    unwritten: int = 0


@dataclasses.dataclass(frozen=True)
class Change:
    """Decisions that differ in the same way.

    Attributes:
        kind: one of KINDS.
        policy_path: the question.
        caller: who called.
        rpc: what, or the action on an object.
        before: `{reason, grant}` of the live policy.
        after: the same of the candidate.
        count: how many there are in the list.
        first: time of the first, RFC 3339.
        last: of the last.
        examples: decision ids of the first few.
    """

    kind: str
    policy_path: str
    caller: str
    rpc: str
    before: dict[str, str]
    after: dict[str, str]
    count: int
    first: str
    last: str
    examples: tuple[str, ...]


def states(paths: Paths, mesh: Mesh) -> list[State]:
    """Of every workload with a decision point.

    Raises:
        SetupError: a file is not one of ours.
    """
    return [_state(paths, workload.name) for workload in mesh.services()]


def wait(paths: Paths, mesh: Mesh, revision: str, timeout_seconds: float) -> float:
    """Seconds until every decision point has this revision.

    Raises:
        SetupError: one refuses it, or has not taken it in time.
    """
    start = time.monotonic()
    while True:
        found = states(paths, mesh)
        elapsed_seconds = time.monotonic() - start
        for state in found:
            if state.refused == revision:
                raise SetupError(
                    f"{state.workload}'s decision point refuses it, and nothing has changed:"
                    f" {state.problem}; mend it, or run `paymesh policy shadow off`"
                )
        behind = [state for state in found if state.revision != revision]
        if not behind:
            return elapsed_seconds
        if elapsed_seconds >= timeout_seconds:
            raise SetupError(_still_behind(behind, timeout_seconds))
        time.sleep(_LOOK_SECONDS)


def changes(paths: Paths, mesh: Mesh, revision: str | None) -> list[Change]:
    """Where the candidate differs, new permissions first, then by how often.

    Args:
        paths: the mesh's home.
        mesh: whose decision points are read.
        revision: the candidate's; None for the last that any difference is listed of.
    """
    found = [line for workload in mesh.services() for line in _lines(paths, workload.name)]
    if revision is None:
        revision = max((line["shadow"]["revision"] for line in found), default="")
    grouped = _group(line for line in found if line["shadow"]["revision"] == revision)
    return sorted(grouped, key=lambda c: (KINDS.index(c.kind), -c.count, c.caller, c.rpc))


def _state(paths: Paths, workload: str) -> State:
    path = paths.workload(workload) / SHADOW_STATE
    try:
        found = json.loads(path.read_text("utf-8"))
        problem = found.pop("problem") or {"text": "", "revision": ""}
        return State(
            workload,
            **{**found, "packages": tuple(found["packages"])},
            problem=problem["text"],
            refused=problem["revision"],
        )
    except FileNotFoundError:
        return State(workload, problem="its decision point has not started")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SetupError(f"{path} is damaged: remove it, it is written again") from error


def _still_behind(behind: Collection[State], timeout_seconds: float) -> str:
    names = ", ".join(state.workload for state in behind)
    problems = {state.problem for state in behind if state.problem}
    why = f" ({'; '.join(sorted(problems))})" if problems else ""
    return (
        f"the decision points of {names} have not taken it in {timeout_seconds:g} s{why}: see"
        f" `paymesh status` and `paymesh logs {next(iter(behind)).workload}-pdp`"
    )


def _lines(paths: Paths, workload: str) -> Iterator[dict[str, Any]]:
    """Oldest first; what is no line of ours, such as one that was cut, is passed over."""
    for name in (f"{SHADOW_DIFFERENCES}.1", SHADOW_DIFFERENCES):
        path: Path = paths.workload(workload) / name
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                for text in file:
                    line = _parsed(text)
                    if line is not None:
                        yield line
        except FileNotFoundError:
            continue


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
        known = line["kind"] in KINDS and isinstance(line["shadow"]["revision"], str)
    except (KeyError, TypeError, ValueError):
        return None
    return line if known else None


def _group(lines: Iterable[dict[str, Any]]) -> list[Change]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for line in lines:
        sides = (line[side][name] for side in ("live", "shadow") for name in ("reason", "grant"))
        key = (line["kind"], line["policy_path"], line["caller"], line["rpc"], *sides)
        groups.setdefault(key, []).append(line)
    return [_change(found) for found in groups.values()]


def _change(lines: list[dict[str, Any]]) -> Change:
    one = lines[0]
    before, after = (
        {name: one[side][name] for name in ("reason", "grant")} for side in ("live", "shadow")
    )
    return Change(
        kind=one["kind"],
        policy_path=one["policy_path"],
        caller=one["caller"],
        rpc=one["rpc"],
        before=before,
        after=after,
        count=len(lines),
        first=min(line["time"] for line in lines),
        last=max(line["time"] for line in lines),
        examples=tuple(line["decision_id"] for line in lines[:_EXAMPLES]),
    )
