"""`paymesh check`: section by section, what is wrong and how to mend it."""

from __future__ import annotations

from typing import Annotated

import rich.markup
import typer

from paymesh.cli.output import Format, console, print_json
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh
from paymesh.paths import default_paths

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
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` for programs.")
    ] = Format.TABLE,
) -> None:
    """Check the running mesh; exit with 1 when anything is wrong.

    A warning says that something works and is weaker than it could be; it does
    not change the exit code.
    """
    from paymesh import checks
    from paymesh.checks import Level

    context = checks.Context(default_paths(), load_mesh(), load_grants())
    found = []
    section = ""
    for finding in checks.run(context):
        found.append(finding)
        if output is Format.JSON:
            continue
        if finding.section != section:
            section = finding.section
            console.print(f"\n[bold]{section}[/bold]")
        console.print(f"  {_MARKS[finding.level]} {rich.markup.escape(finding.name)}")
        if finding.level is not Level.OK:
            console.print(f"      {rich.markup.escape(finding.problem or '')}")
            console.print(f"      → {rich.markup.escape(finding.mend or '')}")
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
    if problems:
        raise typer.Exit(1)
