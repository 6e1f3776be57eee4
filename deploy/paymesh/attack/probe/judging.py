"""From verdicts to a graph, or to the reason why there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from paymesh.attack.model import FORWARD, NONE, Cell, Graph, Target
from paymesh.attack.probe.agent.plan import ANSWERED, FAILED
from paymesh.attack.probe.attempts import THROUGH_GATEWAY, Attempt, Tried, Verdict
from paymesh.attack.probe.errors import ProbeError
from paymesh.attack.probe.evidence import Line

# grpc.StatusCode, as numbers on the wire and as names in the apps' logs.
_OK, _INVALID_ARGUMENT, _UNIMPLEMENTED = 0, 3, 12
_EXECUTED = frozenset({"OK"})
# Has no end of its own: whoever asked has gone by then.
_EXECUTED_WATCH = frozenset({"OK", "CANCELLED"})
_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Probed:
    """An arm's graph as live probes found it.

    Attributes:
        graph: the edges.
        ways: by edge, in which ways it worked, sorted.
        cells: all that were tried.
        attempts: how many attempts were made.
        repeated: how many of them needed more than one.
    """

    graph: Graph
    ways: Mapping[Cell, tuple[str, ...]]
    cells: tuple[Cell, ...]
    attempts: int
    repeated: int


def judge_rpc(tried: Tried, lines: Iterable[Line]) -> Verdict:
    """What the callee's app says of a call.

    Args:
        tried: of an RPC.
        lines: what apps logged under the attempt's trace id.

    Raises:
        ProbeError: the app found the request malformed, so that it proves nothing.
    """
    target = tried.attempt.target
    executed = _EXECUTED_WATCH if target.method.endswith("/Watch") else _EXECUTED
    codes = [line.code for line in lines if line.target == target]
    if "INVALID_ARGUMENT" in codes:
        raise ProbeError(f"the request of {_named(tried)} is malformed: {target} refuses it")
    answered = tried.result["state"] == ANSWERED and tried.result.get("code") == _OK
    # A stream that was left is only worth something if its first message had come.
    seen = any(code == "OK" or (code in executed and answered) for code in codes)
    return Verdict(tried, answered, seen)


def require_known(found: Probed, verdicts: Sequence[Verdict]) -> None:
    """Where an attempt had no answer that says anything, others have shown that it is an edge.

    Such answers are no accident everywhere: a refund that the ledger refuses to post is
    answered with "try again" until it is posted.

    Raises:
        ProbeError: nothing is known of a cell.
    """
    unknown = [v.tried for v in verdicts if v.tried.result["state"] == FAILED and not v.seen]
    _none(
        "no answer that says anything",
        [
            one
            for one in unknown
            if not all(cell in found.graph for cell in found.cells if _is_about(one.attempt, cell))
        ],
    )


def _is_about(attempt: Attempt, cell: Cell) -> bool:
    forwards = cell.target.method == FORWARD and attempt.way.startswith(THROUGH_GATEWAY)
    return (forwards or attempt.target == cell.target) and attempt.counts_for(cell.state)


def require_consistent(verdicts: Sequence[Verdict]) -> None:
    """What was answered is what was seen at the target.

    Raises:
        ProbeError: an answer without evidence, or evidence without an answer.
    """
    _none(
        "answered as if done, but nothing shows it at the target",
        [verdict.tried for verdict in verdicts if verdict.answered and not verdict.seen],
    )
    _none(
        "done at the target, but not answered so",
        [
            verdict.tried
            for verdict in verdicts
            if verdict.seen and not verdict.answered and verdict.tried.result["state"] != FAILED
        ],
    )


def probed(verdicts: Sequence[Verdict], cells: Iterable[Cell]) -> Probed:
    """The graph.

    Raises:
        ProbeError: a cell was not tried.
    """
    tried = _Tried(verdicts)
    every = tuple(cells)
    ways: dict[Cell, tuple[str, ...]] = {}
    for cell in every:
        worked = {verdict.tried.attempt.way for verdict in tried.of(cell) if verdict.seen}
        if worked:
            ways[cell] = tuple(sorted(worked))
    repeated = sum(verdict.tried.result["attempts"] > 1 for verdict in verdicts)
    return Probed(frozenset(ways), ways, every, len(verdicts), repeated)


class _Tried:
    """Verdicts by where, at what and with what."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        self._found: dict[tuple[str, Target | str], dict[tuple[str, str], list[Verdict]]] = {}
        for verdict in verdicts:
            attempt = verdict.tried.attempt
            self._note(attempt.target, verdict)
            if attempt.way.startswith(THROUGH_GATEWAY):
                self._note(FORWARD, verdict)

    def _note(self, what: Target | str, verdict: Verdict) -> None:
        attempt = verdict.tried.attempt
        here = self._found.setdefault((attempt.position, what), {})
        here.setdefault((attempt.identity, attempt.credential), []).append(verdict)

    def of(self, cell: Cell) -> list[Verdict]:
        """What somebody in the cell's state could do: with all that he has, or with less.

        Raises:
            ProbeError: nobody has tried it with all that this state has.
        """
        state, target = cell.state, cell.target
        what = FORWARD if target.method == FORWARD else target
        here = self._found.get((state.position, what), {})
        # Only RPCs are made with a certificate everywhere; a file is not opened with one.
        whole = {state.identity} if target.is_rpc else {NONE, state.identity}
        if not any((identity, state.credential) in here for identity in whole):
            raise ProbeError(f"{state} was not tried at {target}")
        return [
            verdict
            for identity in {NONE, state.identity}
            for credential in {NONE, state.credential}
            for verdict in here.get((identity, credential), ())
        ]


def _none(what: str, tried: Sequence[Tried]) -> None:
    if tried:
        shown = "; ".join(_named(one) for one in tried[:_SHOWN])
        more = f" and {len(tried) - _SHOWN} more" if len(tried) > _SHOWN else ""
        raise ProbeError(f"{what}: {shown}{more}")


def _named(tried: Tried) -> str:
    attempt, result = tried.attempt, tried.result
    detail = f"{result['state']}, status {result.get('code')}, {result.get('detail') or '-'}"
    state = f"{attempt.position}/{attempt.identity}/{attempt.credential}"
    return f"{state} at {attempt.target} {attempt.way} ({detail})"
