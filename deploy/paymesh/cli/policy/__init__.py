"""`paymesh policy`: who may do what, what was decided, and what an edit would change."""

from __future__ import annotations

import typer

from paymesh.cli.policy import bench, can, diff, explain, log, matrix, push, replay, shadow

_MODULES = (matrix, diff, can, push, log, explain, replay, shadow, bench)


def register(app: typer.Typer) -> None:
    """Adds the group, with a module for each command."""
    group = typer.Typer(
        help="Who may do what, what was decided, and what an edit would change.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for module in _MODULES:
        module.register(group)
    # Alone in its group, a command would take the group's place.
    group.callback()(lambda: None)
    app.add_typer(group, name="policy")
