"""`paymesh policy replay --ci`: what keeps a change from passing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paymesh.cli.output import console, safe

if TYPE_CHECKING:
    from paymesh.policy.replay import Change, Report


def unapproved(report: Report, base: str) -> list[Change]:
    """Calls newly allowed or refused that no line names which was added since `base`."""
    from paymesh.mesh import repository_root
    from paymesh.policy import approvals
    from paymesh.policy.replay import ALLOW_TO_DENY, DENY_TO_ALLOW

    added = approvals.added(repository_root(), base)
    wanted = {DENY_TO_ALLOW: approvals.ALLOW, ALLOW_TO_DENY: approvals.DENY}
    return [
        change
        for change in report.changes
        if change.kind in wanted
        and not added.covers(wanted[change.kind], change.caller, change.rpc, change.roles)
    ]


def unjudged(report: Report) -> list[str]:
    """Sentences about what the result does not speak of and should.

    A record of a failure says nothing about the policy, and a line that is cut off was never
    whole: neither counts.
    """
    from paymesh.policy.replay import NO_QUESTIONS

    found = []
    if report.judged == 0:
        found.append("no decision was judged: name logs and a time that hold some")
    if report.partial:
        found.append(
            f"{number(report.partial, 'record')} not judged: the log left out what the policy"
            " reads: list it in policies/paymesh/log/mask.rego, publish, and replay later"
        )
    found += [
        f"{number(count, 'record')} not judged: {why}"
        for why, count in sorted(report.skipped.items())
        if why not in NO_QUESTIONS
    ]
    return found


def show_unjudged(sentences: Sequence[str]) -> None:
    """Why it does not pass though no change speaks against it."""
    if sentences:
        console.print("\nWith --ci nothing passes that was not judged:")
    for sentence in sentences:
        console.print(f"  {safe(sentence)}")


def show_unapproved(changes: Sequence[Change], base: str) -> None:
    """The lines that are missing."""
    if not changes:
        return
    from paymesh.policy.replay import DENY_TO_ALLOW

    console.print(
        f"\nNot approved since {safe(base)}. If this is meant, somebody else adds to"
        " policies/approvals.yaml:"
    )
    lines = {
        f"  - {{change: {'allow' if change.kind == DENY_TO_ALLOW else 'deny'},"
        f" caller: {change.caller}, rpc: {change.rpc}, as: {role}, why: ..., by: ...}}": None
        for change in changes
        for role in change.roles or ("none",)
    }
    for line in lines:
        console.print(safe(line))


def number(count: int, noun: str) -> str:
    """`1 record`, `2,000 records`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
