"""`paymesh policy shadow`: a candidate policy is asked beside the live one."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import rich.table
import typer

from paymesh.cli import clusters
from paymesh.cli.output import Format, console, errors, print_json, safe
from paymesh.mesh import load_mesh
from paymesh.paths import default_paths

if TYPE_CHECKING:
    from paymesh.policy.shadow import Candidate
    from paymesh.policy.shadow_report import Change, State


class Package(enum.StrEnum):
    """What can be shadowed: words of `paymesh.policy.shadow.PACKAGES`."""

    AUTHZ = "authz"
    OBJECTS = "objects"


_Output = Annotated[Format, typer.Option("-o", "--output", help="`json` for programs.")]
_Timeout = Annotated[
    float, typer.Option(help="Seconds for the decision points to follow.", min=0.1, max=600)
]
_Packages = Annotated[
    list[Package] | None,
    typer.Option("--package", help="Only this one; may be given twice. Left out: both."),
]
_TITLES = {
    "deny_to_allow": "[bold red]refused now, would be allowed[/bold red]",
    "allow_to_deny": "[bold yellow]allowed now, would be refused[/bold yellow]",
    "reason": "the same answer for another reason",
    "grant": "the same answer by another grant",
}


def register(group: typer.Typer) -> None:
    """Adds the group of commands."""
    shadow = typer.Typer(
        help="A candidate policy is asked about live traffic, and enforced by nobody.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (on, off, status, differences):
        shadow.command()(command)
    group.add_typer(shadow, name="shadow")


def on(
    *,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|REV",
            help="The candidate: a checkout, a directory with policies, or a git revision."
            " Left out: the present one gets another package.",
        ),
    ] = None,
    package: _Packages = None,
    timeout: _Timeout = 10.0,
    output: _Output = Format.TABLE,
) -> None:
    """Put live decisions to a candidate too, and wait until every decision point does.

    It is compiled and signed like a policy that is published. No decision changes.
    """
    from paymesh import binaries
    from paymesh.policy import shadow

    paths = default_paths()
    place = shadow.place_of(paths)
    pdp = binaries.built(paths, binaries.PDP)
    _switched(shadow.switch_on(place, pdp, against, package or ()), timeout, output)


def off(
    *,
    package: _Packages = None,
    timeout: _Timeout = 10.0,
    output: _Output = Format.TABLE,
) -> None:
    """Ask the candidate no more, and wait until no decision point does."""
    from paymesh.policy import shadow

    made = shadow.switch_off(shadow.place_of(default_paths()), package or ())
    if made is not None:
        _switched(made, timeout, output)
    elif output is Format.JSON:
        print_json({"revision": "", "packages": [], "decision_points": 0, "seconds": 0})
    else:
        console.print("✔ no shadow policy is on")


def status(*, output: _Output = Format.TABLE) -> None:
    """Show what each decision point says about its candidate."""
    from paymesh.policy import shadow, shadow_report

    paths = default_paths()
    offered = shadow.published(shadow.place_of(paths))
    found = shadow_report.states(paths, load_mesh())
    if output is Format.JSON:
        print_json(
            {
                "revision": offered.revision if offered else "",
                "packages": list(offered.packages) if offered else [],
                "workloads": [dataclasses.asdict(state) for state in found],
            }
        )
        return
    if offered is None or not offered.packages:
        console.print("no shadow policy is on")
    else:
        console.print(f"shadow policy {offered.revision}: {', '.join(offered.packages)}")
        console.print(_table(found))
    for line in _behind(found, offered):
        console.print(f"‼ {safe(line)}")


def differences(
    *,
    revision: Annotated[
        str | None,
        typer.Option(help="Of the candidate; the present one, or else the last, when left out."),
    ] = None,
    output: _Output = Format.TABLE,
) -> None:
    """List where the candidate decides otherwise, new permissions first."""
    from paymesh.policy import shadow, shadow_report

    paths = default_paths()
    offered = shadow.published(shadow.place_of(paths))
    if revision is None and offered is not None and offered.packages:
        revision = offered.revision
    found = shadow_report.changes(paths, load_mesh(), revision, _warn)
    if output is Format.JSON:
        print_json([dataclasses.asdict(change) for change in found])
    elif not found:
        console.print("✔ no difference is listed")
    else:
        _print(found)


def _warn(text: str) -> None:
    errors.print(f"‼ {safe(text)}")


def _switched(made: Candidate, timeout: float, output: Format) -> None:
    from paymesh.policy import shadow_report

    mesh = load_mesh()
    quiet = output is Format.JSON
    with (
        clusters.interruptible("paymesh policy shadow status"),
        clusters.progress(quiet=quiet) as told,
    ):
        told.waiting("the decision points to follow")
        seconds = shadow_report.wait(default_paths(), mesh, made.revision, timeout)
    count = len(mesh.services())
    if quiet:
        print_json(
            {
                "revision": made.revision,
                "packages": list(made.packages),
                "decision_points": count,
                "seconds": round(seconds, 3),
            }
        )
    elif made.packages:
        console.print(
            f"✔ {count} decision points ask {made.revision} too"
            f" ({', '.join(made.packages)}) after {seconds:.2f} s"
        )
    else:
        console.print(f"✔ {count} decision points ask no candidate after {seconds:.2f} s")


def _table(found: list[State]) -> rich.table.Table:
    """Fits into 80 columns; what would change comes first."""
    table = rich.table.Table(box=None, pad_edge=False)
    table.add_column("WORKLOAD", no_wrap=True)
    for title in ("DENY→ALLOW", "ALLOW→DENY", "REASON", "GRANT", "EVALUATED", "DROPPED", "ERRORS"):
        table.add_column(title, justify="right", no_wrap=True)
    for state in found:
        opened = f"[bold red]{state.deny_to_allow}[/bold red]" if state.deny_to_allow else "0"
        counts = (
            *(state.allow_to_deny, state.reason, state.grant),
            *(state.evaluated, state.dropped, state.errors),
        )
        table.add_row(state.workload, opened, *(str(count) for count in counts))
    return table


def _behind(found: list[State], offered: Candidate | None) -> Iterator[str]:
    """What is not as it was asked for."""
    for state in found:
        if offered is not None and state.revision != offered.revision:
            yield f"{state.workload}'s decision point asks {state.revision or 'no candidate'}"
        if state.problem:
            yield f"{state.workload}: {state.problem}"


def _print(found: list[Change]) -> None:
    kind = ""
    for change in found:
        if change.kind != kind:
            kind = change.kind
            console.print(_TITLES[kind])
        before, after = (
            f"{side.reason} {side.grant}".strip() for side in (change.before, change.after)
        )
        line = (
            f"{change.caller or 'nobody'} {change.rpc or 'no method'}: {before} → {after}"
            f" ({change.count} times)"
        )
        console.print(f"  {safe(line)}")
        console.print(f"    for example {safe(', '.join(change.examples))}")
