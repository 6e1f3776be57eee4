"""`paymesh policy replay --ci`: what keeps a change from passing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paymesh.cli.output import console, safe
from paymesh.errors import ConfigError

if TYPE_CHECKING:
    from paymesh.policy.contents import Files
    from paymesh.policy.replay import Change, Report
    from paymesh.policy.unrecorded import Unrecorded


@dataclasses.dataclass(frozen=True)
class Base:
    """The revision before the change. `is_known` if one has to be there: only CI needs it."""

    revision: str
    is_known: bool

    def files(self, environment: Mapping[str, Any], candidate: Files) -> Files:
        """Its policy; where there is no git, that of the candidate."""
        from paymesh.policy.candidate import load

        try:
            return load(self.revision, environment)
        except ConfigError:
            if self.is_known:
                raise
            return candidate


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What speaks against a change.

    Attributes:
        unapproved: calls newly allowed or refused that no line of the change names.
        unapproved_reads: names of places that the policy newly reads and no record holds.
        unjudged: sentences about what the result does not speak of and should.
    """

    unapproved: tuple[Change, ...]
    unapproved_reads: tuple[str, ...]
    unjudged: tuple[str, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing does."""
        return not (self.unapproved or self.unapproved_reads or self.unjudged)

    def as_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {"ok": self.is_ok, **dataclasses.asdict(self)}


def judge(
    report: Report, before: Report | None, missing: Sequence[Unrecorded], base: str
) -> Verdict:
    """The verdict on a change since `base`.

    Args:
        report: by the policy with the change.
        before: the same records by that of `base`; None where nobody asked.
        missing: what the change reads and no record holds.
        base: a git revision.

    Raises:
        ConfigError: there is no such revision, or policies/approvals.yaml is wrong.
    """
    from paymesh.mesh import repository_root
    from paymesh.policy import approvals
    from paymesh.policy.replay import ALLOW_TO_DENY, DENY_TO_ALLOW

    added = approvals.added(repository_root(), base)
    wanted = {DENY_TO_ALLOW: approvals.ALLOW, ALLOW_TO_DENY: approvals.DENY}
    changes = (
        change
        for change in report.changes
        if change.kind in wanted
        and not added.covers(wanted[change.kind], change.caller, change.rpc, change.roles)
    )
    reads = (one.place.name for one in missing if one.is_new)
    return Verdict(
        tuple(changes),
        tuple(name for name in reads if not added.covers_read(name)),
        tuple(_unjudged(report, before, base)),
    )


def leaves_out(report: Report) -> bool:
    """Whether there are records that a policy could have judged and this one did not."""
    from paymesh.policy.replay import NO_QUESTIONS

    return bool(report.partial or report.skipped.keys() - NO_QUESTIONS)


def _unjudged(report: Report, before: Report | None, base: str) -> list[str]:
    """Sentences about what the result does not speak of and should.

    What no policy can judge does not count: a failure, a line that is cut off, or a record that
    lacks what the policy has always read. Somebody who makes odd calls could stop every change.
    """
    from paymesh.policy import unrecorded
    from paymesh.policy.replay import NO_QUESTIONS

    whose = f" that the policy of {base} judges" if before else ""
    known = before.skipped if before else {}
    found = []
    if report.judged == 0:
        found.append("no decision was judged: name logs and a time that hold some")
    partial = report.partial - (before.partial if before else 0)
    if partial > 0:
        found.append(
            f"{number(partial, 'record')} not judged{whose}: the log left out what the policy"
            f" reads: {unrecorded.MEND}"
        )
    found += [
        f"{number(count - known.get(why, 0), 'record')} not judged{whose}: {why}"
        for why, count in sorted(report.skipped.items())
        if why not in NO_QUESTIONS and count > known.get(why, 0)
    ]
    return found


def show(verdict: Verdict, base: str) -> None:
    """The lines that are missing, and why it does not pass though no change speaks against it."""
    from paymesh.policy import approvals, unrecorded
    from paymesh.policy.replay import DENY_TO_ALLOW

    lines = {approvals.read_line(name): None for name in verdict.unapproved_reads}
    lines |= {
        f"  - {{change: {'allow' if change.kind == DENY_TO_ALLOW else 'deny'},"
        f" caller: {change.caller}, rpc: {change.rpc}, as: {role}, why: ..., by: ...}}": None
        for change in verdict.unapproved
        for role in change.roles or ("none",)
    }
    if lines:
        console.print(
            f"\nNot approved since {safe(base)}. If this is meant, somebody else adds"
            " to policies/approvals.yaml:"
        )
    for line in lines:
        console.print(safe(line))
    if verdict.unapproved_reads:
        console.print(f"What the policy reads can be recorded instead: {unrecorded.MEND}.")
    if verdict.unjudged:
        console.print("\nWith --ci nothing passes that the change keeps from being judged:")
    for sentence in verdict.unjudged:
        console.print(f"  {safe(sentence)}")


def number(count: int, noun: str) -> str:
    """`1 record`, `2,000 records`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
