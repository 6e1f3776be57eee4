"""`paymesh policy matrix`: who may do what, found by asking the rules."""

from __future__ import annotations

import enum
import sys
from typing import TYPE_CHECKING, Annotated

import rich.status
import typer

from paymesh import binaries
from paymesh.cli.output import console, errors, safe
from paymesh.errors import ConfigError, PaymeshError
from paymesh.mesh import repository_root
from paymesh.paths import default_paths

if TYPE_CHECKING:
    from paymesh.policy.matrix.committed import State


class MatrixFormat(enum.StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"
    HTML = "html"


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(matrix)


def matrix(
    *,
    output: Annotated[
        MatrixFormat,
        typer.Option("-o", "--output", help="`html` is one page that needs nothing else."),
    ] = MatrixFormat.TABLE,
    check: Annotated[
        bool,
        typer.Option("--check", help="Print nothing; fail when the committed files are stale."),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Write the committed files, docs/access-matrix.*.")
    ] = False,
) -> None:
    """Ask the policy about every caller, RPC, kind of end user and class of message."""
    from paymesh.policy.matrix import committed

    if check and write:
        raise ConfigError("--check changes nothing and --write does: leave out one")
    root = repository_root()
    with asking():
        state = committed.state(root, binaries.built(default_paths(), binaries.PDP))
        expected = committed.files(state)
    if write:
        for path in committed.write(root, expected):
            console.print(f"wrote {path}")
    elif check:
        if found := committed.stale(root, expected):
            raise PaymeshError(
                "\n".join(found) + "\nrun `paymesh policy matrix --write`, read the difference"
                " and commit it"
            )
        console.print("✔ the access matrix is fresh")
    elif output is MatrixFormat.MARKDOWN:
        sys.stdout.write(expected[committed.MARKDOWN])
    elif output is MatrixFormat.JSON:
        sys.stdout.write(expected[committed.JSON])
    elif output is MatrixFormat.HTML:
        from paymesh.policy.matrix.page import page

        sys.stdout.write(page(committed.HEADER, state.plan, state.matrix))
    else:
        _table(state)


def asking() -> rich.status.Status:
    """Says on a terminal what takes its seconds."""
    return errors.status("asking the policy")


def _table(state: State) -> None:
    """By RPC: who gets through and when, and the reasons of all others."""
    from paymesh.policy.matrix import answers
    from paymesh.policy.matrix.permissions import always_refused, reasons

    allowed = answers.permissions(state.plan, state.matrix, state.source)
    strangers = always_refused(state.matrix)
    for target in state.plan.targets:
        console.print(f"[bold]{safe(target.name)}[/bold]")
        for one in allowed:
            if one.rpc == target.name:
                grant = f" [dim]({safe(one.grant)})[/dim]" if one.grant else ""
                said = safe(f"{one.caller} as {one.who}: {one.when}")
                console.print(f"  [green]✔[/green] {said}{grant}")
        others = [
            f"{reason} ({', '.join(names)})"
            for reason, callers in reasons(state.matrix, target).items()
            if (names := [caller for caller in callers if caller not in strangers])
        ]
        console.print(f"  [red]✗[/red] otherwise {safe('; '.join(others))}")
    console.print("[bold]whatever they call[/bold]")
    for caller, refused in strangers.items():
        console.print(f"  [red]✗[/red] {safe(caller)}: {safe(', '.join(refused))}")
