"""`paymesh attack-corpus`: 24 classes of bypasses, sent raw at the running mesh."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from paymesh.cli.output import Format, console, errors, print_json, safe
from paymesh.errors import ConfigError
from paymesh.mesh import load_mesh
from paymesh.paths import default_paths

if TYPE_CHECKING:
    from paymesh.attack.corpus.judge import Fault
    from paymesh.attack.corpus.run import Result

_SHOWN_FAULTS = 20
_OFTEN = 25


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("attack-corpus")(attack_corpus)


def attack_corpus(
    *,
    classes: Annotated[
        list[int] | None,
        typer.Option("--class", metavar="1..24", help="Only this class; may be given again."),
    ] = None,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` for programs.")
    ] = Format.TABLE,
) -> None:
    """Send every variant of the bypass corpus at the mesh that is up, and look at what its
    services carried out; exit with 1 if anything got through or anything failed.

    Needs root, for SPIRE's key and the services' own logs, and a mesh that nobody else uses
    meanwhile. Small amounts are posted to acme's ledger: the controls have to succeed.
    """
    if os.geteuid() != 0:
        raise ConfigError("this needs SPIRE's key and every workload's socket: run it as root")
    from paymesh.attack.corpus import run
    from paymesh.attack.corpus.classes import CLASSES

    numbers = classes or list(CLASSES)
    for number in numbers:
        if number not in CLASSES:
            raise ConfigError(f"there is no class {number}: they are 1 to {len(CLASSES)}")
    found: list[Result] = []
    show = output is Format.TABLE
    with run.running(default_paths(), load_mesh()) as running, _progress() as (done, pause):
        for result in run.results(running, numbers, done):
            found.append(result)
            if show:
                with pause():
                    _print(result)
        late = running.late()
    if show:
        _print_verdict(found, late)
    else:
        print_json(
            {
                "classes": [result.as_json() for result in found],
                "late": [str(fault) for fault in late],
            }
        )
    if late or any(result.faults for result in found):
        raise typer.Exit(1)


def _print(result: Result) -> None:
    mark = "[red]✗[/red]" if result.faults else "[green]✔[/green]"
    console.print(f"{mark} {result.number:2} {result.title:<54} {result.variants:4} variants")
    _print_faults(result.faults)


def _print_faults(faults: tuple[Fault, ...] | list[Fault]) -> None:
    for fault in faults[:_SHOWN_FAULTS]:
        console.print(f"      {safe(fault)}")
    if len(faults) > _SHOWN_FAULTS:
        console.print(f"      and {len(faults) - _SHOWN_FAULTS} more")


def _print_verdict(found: list[Result], late: list[Fault]) -> None:
    _print_faults(late)
    variants = sum(result.variants for result in found)
    broken = [str(result.number) for result in found if result.faults]
    if broken or late:
        which = f"class {', '.join(broken)}" if broken else "what came into the logs last"
        console.print(f"\n{variants} variants: {which} did not hold")
    else:
        console.print(f"\n{variants} variants, and nothing ran that was not allowed to")


@contextmanager
def _progress() -> Iterator[tuple[Callable[[], None], Callable[[], AbstractContextManager[None]]]]:
    """A line on a terminal that counts variants, and how to write something meanwhile."""
    with errors.status("getting ready") as status:
        sent = 0

        def done() -> None:
            nonlocal sent
            sent += 1
            if sent % _OFTEN == 0:
                status.update(f"{sent} variants sent")

        @contextmanager
        def pause() -> Iterator[None]:
            status.stop()
            yield
            status.start()

        yield done, pause
