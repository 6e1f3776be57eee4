"""What decision points say about a shadow policy: their counts, and where it differs."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from paymesh.errors import SetupError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.policy.replay import KINDS, Outcome
from paymesh.render.pdp import SHADOW_DIFFERENCES, SHADOW_STATE
from paymesh.runtime.files import IrregularFileError, open_regular, read_regular

_EXAMPLES = 3
# The files are the workloads': what is larger than a decision point makes it, is not its work.
_MAX_STATE_BYTES = 64 << 10
_MAX_LINE_BYTES = 64 << 10
_MAX_LIST_BYTES = 65 << 20
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


class _Difference(NamedTuple):
    """One line of a decision point's list."""

    kind: str
    time: str
    decision_id: str
    policy_path: str
    caller: str
    rpc: str
    before: Outcome
    after: Outcome
    revision: str

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Both of them, as texts."""
        return (self.before.reason, self.before.grant, self.after.reason, self.after.grant)


_OTHER_COUNTS = ("evaluated", "errors", "dropped", "unwritten")
_NAMES = ("kind", "time", "decision_id", "policy_path", "caller", "rpc")


@dataclasses.dataclass(frozen=True)
class Change:
    """Decisions that differ in the same way.

    Attributes:
        kind: one of KINDS.
        policy_path: the question.
        caller: who called.
        rpc: what, or the action on an object.
        before: by the live policy.
        after: by the candidate.
        count: how many there are in the list.
        first: time of the first, RFC 3339.
        last: of the last.
        examples: decision ids of the first few.
    """

    kind: str
    policy_path: str
    caller: str
    rpc: str
    before: Outcome
    after: Outcome
    count: int
    first: str
    last: str
    examples: tuple[str, ...]


def states(paths: Paths, mesh: Mesh) -> list[State]:
    """Of every workload with a decision point; what cannot be read is its problem."""
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


def changes(
    paths: Paths,
    mesh: Mesh,
    revision: str | None,
    report: Callable[[str], None] = lambda _: None,
) -> list[Change]:
    """Where the candidate differs, new permissions first, then by how often.

    Args:
        paths: the mesh's home.
        mesh: whose decision points are read.
        revision: the candidate's; None for the last that any difference is listed of.
        report: told which lists cannot be read.
    """
    found = [line for workload in mesh.services() for line in _lines(paths, workload.name, report)]
    if revision is None:
        revision = max((line.revision for line in found), default="")
    grouped = _group(line for line in found if line.revision == revision)
    return sorted(grouped, key=lambda c: (KINDS.index(c.kind), -c.count, c.caller, c.rpc))


def _state(paths: Paths, workload: str) -> State:
    path = paths.workload(workload) / SHADOW_STATE
    try:
        found = json.loads(read_regular(path, _MAX_STATE_BYTES).decode())
        problem = found.pop("problem") or {"text": "", "revision": ""}
        state = State(
            workload,
            **{**found, "packages": tuple(found["packages"])},
            problem=problem["text"],
            refused=problem["revision"],
        )
    except FileNotFoundError:
        return State(workload, problem="its decision point has not started")
    except OSError as error:
        return State(workload, problem=f"{path} cannot be read: {error.strerror}")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return _damaged(workload, path)
    return state if _is_plausible(state) else _damaged(workload, path)


def _damaged(workload: str, path: Path) -> State:
    return State(workload, problem=f"{path} is damaged: remove it, it is written again")


def _is_plausible(state: State) -> bool:
    """Whether texts are texts and counts are counts."""
    texts = (state.revision, state.since, state.problem, state.refused, *state.packages)
    counts = [getattr(state, name) for name in (*KINDS, *_OTHER_COUNTS)]
    return all(isinstance(text, str) for text in texts) and all(
        type(count) is int and count >= 0 for count in counts
    )


def _still_behind(behind: Collection[State], timeout_seconds: float) -> str:
    names = ", ".join(state.workload for state in behind)
    problems = {state.problem for state in behind if state.problem}
    why = f" ({'; '.join(sorted(problems))})" if problems else ""
    return (
        f"the decision points of {names} have not taken it in {timeout_seconds:g} s{why}: see"
        f" `paymesh status` and `paymesh logs {next(iter(behind)).workload}-pdp`"
    )


def _lines(paths: Paths, workload: str, report: Callable[[str], None]) -> Iterator[_Difference]:
    """Oldest first; what is no line of ours, such as one that was cut, is passed over."""
    for name in (f"{SHADOW_DIFFERENCES}.1", SHADOW_DIFFERENCES):
        path = paths.workload(workload) / name
        try:
            with os.fdopen(open_regular(path), "rb") as file:
                if os.fstat(file.fileno()).st_size > _MAX_LIST_BYTES:
                    report(f"{path} is far too large: only its beginning is read")
                yield from filter(None, map(_parsed, _bounded(file)))
        except FileNotFoundError:
            continue
        except IrregularFileError:
            report(f"{path} is no regular file: nothing of it is read")


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    """Lines, none of them longer and not more of them than a decision point writes."""
    left = _MAX_LIST_BYTES
    while left > 0 and (line := file.readline(_MAX_LINE_BYTES)):
        left -= len(line)
        yield line


def _parsed(line: bytes) -> _Difference | None:
    try:
        found = json.loads(line.decode())
        known = {name: found[name] for name in _NAMES}
        before, after = (
            Outcome(found[side]["reason"], found[side]["grant"]) for side in ("live", "shadow")
        )
        revision = found["shadow"]["revision"]
        difference = _Difference(**known, before=before, after=after, revision=revision)
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    texts = (*known.values(), difference.revision, *difference.outcomes)
    is_ours = difference.kind in KINDS and all(isinstance(text, str) for text in texts)
    return difference if is_ours else None


def _group(lines: Iterable[_Difference]) -> list[Change]:
    groups: dict[tuple[str, ...], list[_Difference]] = {}
    for line in lines:
        key = (line.kind, line.policy_path, line.caller, line.rpc, *line.outcomes)
        groups.setdefault(key, []).append(line)
    return [_change(found) for found in groups.values()]


def _change(lines: list[_Difference]) -> Change:
    one = lines[0]
    return Change(
        kind=one.kind,
        policy_path=one.policy_path,
        caller=one.caller,
        rpc=one.rpc,
        before=one.before,
        after=one.after,
        count=len(lines),
        first=min(line.time for line in lines),
        last=max(line.time for line in lines),
        examples=tuple(line.decision_id for line in lines[:_EXAMPLES]),
    )
