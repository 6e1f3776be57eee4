"""`paymesh policy diff REV`: what an edit adds and removes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paymesh import binaries
from paymesh.cli.output import Format, console, print_json, safe
from paymesh.cli.policy.matrix import asking
from paymesh.mesh import repository_root
from paymesh.paths import default_paths

if TYPE_CHECKING:
    from paymesh.policy.matrix.changes import Change, Group
    from paymesh.policy.matrix.comparison import Comparison

_SHOWN_NAMES = 4


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(diff)


def diff(
    revision: Annotated[str, typer.Argument(metavar="REV", help="A git revision: before.")],
    *,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|REV2",
            help="A checkout, a directory of policies or a revision: after. The working tree if"
            " left out.",
        ),
    ] = None,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` for programs: every difference.")
    ] = Format.TABLE,
) -> None:
    """Show what an edit of the policies allows and refuses that was not so before.

    Exits with 1 when a new permission, or a new read that no question asks about, is not named by
    a line that the same change adds to policies/approvals.yaml. An error exits with 1 too: with
    -o json a JSON document on the standard output means that it ran, and its `ok` what came of it.
    """
    from paymesh.policy.matrix.comparison import compare

    with asking():
        found = compare(
            repository_root(), revision, against, binaries.built(default_paths(), binaries.PDP)
        )
    if output is Format.JSON:
        print_json(_document(found))
    else:
        _print(found)
    if not found.is_ok:
        raise typer.Exit(1)


def _document(found: Comparison) -> dict[str, object]:
    from paymesh.policy.matrix.changes import Kind

    return {
        "base": found.base,
        "head": found.head,
        "ok": found.is_ok,
        **{kind.value: [change.as_json() for change in found.of(kind)] for kind in Kind},
        "reads": [one.as_json() for one in found.unasked],
        "unapproved": [change.as_json() for change in found.unapproved],
        "unapproved_reads": [one.as_json() for one in found.unapproved_reads],
    }


def _print(found: Comparison) -> None:
    from paymesh.policy.matrix.changes import Kind, grouped

    titles = {
        Kind.NEW: "[bold red]NEW PERMISSIONS[/bold red]",
        Kind.REMOVED: "[bold]no longer allowed[/bold]",
        Kind.REASON: "[bold]refused for another reason[/bold]",
        Kind.GRANT: "[bold]allowed by another grant[/bold]",
    }
    _print_unasked(found)
    for kind, title in titles.items():
        groups = grouped(found.of(kind))
        if groups:
            console.print(f"{title} ({len(groups)})")
        for group in groups:
            _print_group(found, group)
    if not found.changes:
        said = f"{found.base} and {found.head} allow and refuse the same"
        if found.unasked:
            said += ", as far as was asked"
        console.print(f"{'' if found.unasked else '✔ '}{safe(said)}")
    _print_unapproved(found)


def _print_unasked(found: Comparison) -> None:
    if found.unasked:
        console.print(f"[bold red]READ AND NOT ASKED ABOUT[/bold red] ({len(found.unasked)})")
    for one in found.unasked:
        approved = " [dim](approved)[/dim]" if one.is_approved else ""
        console.print(
            f"  [red]![/red] {safe(one.query)} reads {safe(one.words)},"
            f" which no question asks about: what it allows is not in this matrix{approved}"
        )


def _print_group(found: Comparison, group: Group) -> None:
    from paymesh.policy.matrix.changes import Kind
    from paymesh.policy.matrix.permissions import who

    marks = {Kind.NEW: "[red]+[/red]", Kind.REMOVED: "-"}
    user = who(found.plan, group.users)
    rpcs = _some(group.targets)
    when = f": {group.when}" if group.when else ""
    said = safe(f"{_some(group.callers)} as {user} → {rpcs}{when}")
    why = safe(f"{', '.join(group.before)} → {', '.join(group.after)}")
    approved = "; approved" if group.approved else ""
    console.print(f"  {marks.get(group.kind, '~')} {said} [dim]({why}{approved})[/dim]")


def _some(names: tuple[str, ...]) -> str:
    rest = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _print_unapproved(found: Comparison) -> None:
    from paymesh.policy import approvals

    if found.is_ok:
        return
    console.print(
        "\nNot approved. If this is meant, somebody else adds to policies/approvals.yaml:"
    )
    lines = [approvals.read_line(one.place.name) for one in found.unapproved_reads]
    lines += [_line(found, change) for change in found.unapproved]
    for line in dict.fromkeys(lines):
        console.print(safe(line))


def _line(found: Comparison, change: Change) -> str:
    """The approval that is missing; `any` where everybody is newly allowed."""
    from paymesh.policy.matrix.permissions import ANYBODY, who

    same = [
        one.user
        for one in found.unapproved
        if (one.caller, one.target.name) == (change.caller, change.target.name)
    ]
    role = "any" if who(found.plan, same) == ANYBODY else change.user
    return (
        f"  - {{change: allow, caller: {change.caller}, rpc: {change.target.name}, as: {role},"
        " why: ..., by: ...}"
    )
