"""Whether a class of the corpus held, and what is wrong if it did not."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from paymesh.attack import wire
from paymesh.attack.corpus.model import Variant
from paymesh.attack.corpus.observe import Execution

_OK = "OK"
# 501 says that something is not spoken here, which is a refusal.
_FAILED = frozenset({500, 502, 503, 504})
# Of gRPC: a fault of the server's, not a refusal. Envoy turns 400 into INTERNAL.
_UNKNOWN, _UNAVAILABLE = 2, 14
_REFUSED_BY_POLICY = "UAEX"
_PAST_SIDECAR = "NOT_THROUGH_SIDECAR"
# The decision point was too slow, and says so: there is nothing on record.
_TOO_SLOW = frozenset({"POLICY_ENGINE_UNAVAILABLE", "DECISION_NOT_RECORDED"})


@dataclasses.dataclass(frozen=True)
class Seen:
    """What was observed while a class was sent.

    Attributes:
        executions: calls in the apps' own logs.
        decisions: records of the decision points.
        recorded: the ids of these and of all before them.
        answers: lines of the Envoys' access logs.
        replaced: processes that died or were started again.
    """

    executions: list[Execution]
    decisions: list[Mapping[str, Any]]
    recorded: set[str]
    answers: list[Mapping[str, Any]]
    replaced: list[str]


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that must not be.

    Attributes:
        variant: whose it is; empty where it cannot be told.
        what: in words.
        busy: a machine that is busy may be all there is to it: what is sent again on its own
            has to go well.
    """

    variant: str
    what: str
    busy: bool = False

    def __str__(self) -> str:
        return f"{self.variant}: {self.what}" if self.variant else self.what


def judge(
    variants: Sequence[Variant],
    replies: Mapping[str, wire.Reply],
    seen: Seen,
    traces: Mapping[str, str],
    entitled: AbstractSet[str] = frozenset(),
) -> list[Fault]:
    """Everything that is wrong.

    Args:
        variants: that were sent.
        replies: to each, by id.
        seen: at the targets.
        traces: variant ids by trace id, of the whole run: some lines come late.
        entitled: trace ids of those that may be carried out.
    """
    by_trace: dict[str, list[Execution]] = defaultdict(list)
    for execution in seen.executions:
        by_trace[execution.trace].append(execution)
    faults: list[Fault] = []
    for variant in variants:
        faults += _of_canary(variant, replies[variant.id], by_trace.pop(variant.trace, []))
        faults += _of_reply(variant, replies[variant.id], seen.recorded)
    for trace, executions in by_trace.items():
        if trace not in entitled:
            late = (found for found in executions if trace in traces or not _background(found))
            faults += [Fault(traces.get(trace, ""), _through(found)) for found in late]
    gone = (Fault("", f"{name} is not the process any more that it was") for name in seen.replaced)
    return [*faults, *gone, *_of_decisions(seen, traces)]


def _of_canary(variant: Variant, reply: wire.Reply, executions: list[Execution]) -> Iterator[Fault]:
    if variant.entitled:
        if not any(found.code == _OK for found in executions):
            yield Fault(variant.id, f"a control that was not carried out ({reply})", busy=True)
    elif variant.permits is None:
        yield from (Fault(variant.id, _through(found)) for found in executions)
    elif any(
        found.code == _OK and found.rpc == variant.rpc for found in executions
    ) and not variant.permits(reply):
        what = "was carried out as something else than what policy allowed"
        yield Fault(variant.id, f"{what} ({reply})")


def _background(found: Execution) -> bool:
    """Whether this is what payments finishes by itself, or somebody's look past the sidecar.
    The SVID of payments is used for no variant that could lose its trace id.
    """
    finished = found.caller.endswith("/sa/payments") and not found.user
    return finished or found.reason == _PAST_SIDECAR


def _through(found: Execution) -> str:
    who = f"{found.caller or 'nobody'}{f' for {found.user}' if found.user else ''}"
    return f"got through: {found.workload} began {found.rpc} from {who}, status {found.code}"


def _of_reply(variant: Variant, reply: wire.Reply, recorded: set[str]) -> Iterator[Fault]:
    if reply.reason in _TOO_SLOW:
        yield Fault(variant.id, f"made the decision point too slow ({reply})", busy=True)
        return
    if reply.decision_id is not None and reply.decision_id not in recorded:
        yield Fault(variant.id, f"decision {reply.decision_id} is not on record")
    if reply.status is None or variant.entitled:
        return
    if reply.status in _FAILED or reply.grpc_status in {_UNKNOWN, _UNAVAILABLE}:
        what = f"was answered as by a server that failed ({reply})"
        yield Fault(variant.id, what, busy=True)
    if variant.grpc and reply.end == "answered" and reply.grpc_status is None:
        yield Fault(variant.id, f"was refused without a gRPC status ({reply})")


def _of_decisions(seen: Seen, traces: Mapping[str, str]) -> Iterator[Fault]:
    for answer in seen.answers:
        refused = _REFUSED_BY_POLICY in str(answer.get("flags"))
        if not refused or answer.get("reason") in _TOO_SLOW:
            continue
        if str(answer.get("decision_id")) not in seen.recorded:
            variant = traces.get(_trace_of(answer.get("traceparent")), "")
            yield Fault(variant, f"was refused without a decision on record: {answer}")
    for record in seen.decisions:
        if str(record.get("error", "")).startswith("panic"):
            variant = traces.get(_trace_of(_traceparent(record)), "")
            yield Fault(variant, f"the decision point failed: {record['error']}")


def _traceparent(record: Mapping[str, Any]) -> object:
    found: Any = record
    for name in ("input", "attributes", "request", "http", "headers", "traceparent"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _trace_of(traceparent: object) -> str:
    parts = str(traceparent).split("-")
    return parts[1] if len(parts) > 1 else ""
