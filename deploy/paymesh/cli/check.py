"""`paymesh check`: section by section, what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from paymesh.cli import clusters
from paymesh.cli.output import Format, console, print_json, safe, safe_lines
from paymesh.errors import ConfigError
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh
from paymesh.paths import default_paths

if TYPE_CHECKING:
    from paymesh.checks import Finding

_MARKS = {
    "ok": "[green]✔[/green]",
    "warning": "[yellow]‼[/yellow]",
    "problem": "[red]✗[/red]",
}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(check)


def check(
    *,
    kube: clusters.Kube = False,
    context: clusters.Context = None,
    overlay: Annotated[
        str | None,
        typer.Option(help="Compare a cluster with this overlay; the deployed one when left out."),
    ] = None,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` for programs.")
    ] = Format.TABLE,
) -> None:
    """Check the running mesh, here or in a cluster; exit with 1 when anything is wrong.

    A warning says that something works and is weaker than it could be; it does
    not change the exit code.
    """
    if (context is not None or overlay is not None) and not kube:
        raise ConfigError("--context and --overlay are for a cluster: add --kube")
    run = _of_cluster(context, overlay) if kube else _of_machine()
    if not report(run, output):
        raise typer.Exit(1)


def _of_machine() -> Iterator[Finding]:
    from paymesh import checks

    return checks.run(checks.Context(default_paths(), load_mesh(), load_grants()))


def _of_cluster(context: str | None, overlay: str | None) -> Iterator[Finding]:
    from paymesh.checks import kube
    from paymesh.kube.progress import Silent

    return kube.run(kube.Look(clusters.site(context, Silent()), load_grants(), overlay))


def report(findings: Iterator[Finding], output: Format) -> bool:
    """Prints findings as they come; whether none of them is a problem."""
    from paymesh.checks import Level

    found = []
    section = ""
    for finding in findings:
        found.append(finding)
        if output is Format.JSON:
            continue
        if finding.section != section:
            section = finding.section
            console.print(f"\n[bold]{section}[/bold]")
        console.print(f"  {_MARKS[finding.level]} {safe(finding.name)}")
        if finding.level is not Level.OK:
            problem = safe_lines(finding.problem or "").replace("\n", "\n      ")
            console.print(f"      {problem}")
            console.print(f"      → {safe(finding.mend or '')}")
    problems = [finding for finding in found if finding.level is Level.PROBLEM]
    if output is Format.JSON:
        print_json(
            {
                "ok": not problems,
                "findings": [
                    {key: value for key, value in vars(finding).items() if value is not None}
                    for finding in found
                ],
            }
        )
    else:
        console.print(
            f"\n{len(problems)} of {len(found)} checks found a problem"
            if problems
            else f"\nall {len(found)} checks passed"
        )
    return not problems
