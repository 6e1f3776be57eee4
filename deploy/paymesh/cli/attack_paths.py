"""`paymesh attack-paths`: what an attacker can do with more and more of the mesh, by trying it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paymesh.cli.output import Format, console, errors, print_json, safe, safe_lines
from paymesh.errors import ConfigError, PaymeshError
from paymesh.mesh import load_mesh, repository_root

if TYPE_CHECKING:
    from paymesh.attack.model import Arm
    from paymesh.attack.report.difference import Difference
    from paymesh.attack.report.document import Committed
    from paymesh.attack.report.looking import Look
    from paymesh.attack.report.result import Result

_COMMITTED = "committed"
_SHOWN_PROBLEMS = 40


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("attack-paths")(attack_paths)


_Arms = Annotated[
    list[str] | None,
    typer.Option("--arm", metavar="A|B|C|D|E", help="Only this arm; may be given again."),
]
_ComputedOnly = Annotated[
    bool,
    typer.Option(
        "--computed-only",
        help="Start nothing: work the graphs out from configuration and policy, and show what"
        " they have that the committed ones have not.",
    ),
]
_Check = Annotated[
    bool, typer.Option("--check", help="Fail when the committed figures are others.")
]
_Write = Annotated[
    bool,
    typer.Option(
        "--write", help="Write the committed files: docs/attack-paths.* and the README's table."
    ),
]
_Diff = Annotated[
    str | None,
    typer.Option(
        metavar=f"FILE|{_COMMITTED}",
        help="Name each edge that is new or gone against another run's `-o json`.",
    ),
]
_Picture = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Write attack-paths.svg into it.")
]
_Output = Annotated[Format, typer.Option("-o", "--output", help="`json` for programs: every edge.")]


def attack_paths(
    *,
    arms: _Arms = None,
    computed_only: _ComputedOnly = False,
    check: _Check = False,
    write: _Write = False,
    diff: _Diff = None,
    picture: _Picture = None,
    output: _Output = Format.TABLE,
) -> None:
    """Count attack paths: start each arm of docs/attack-paths.md, try every single thing in it,
    and hold what worked against what configuration and policy say.

    Needs root, for the workloads' uids and for network namespaces; --computed-only does not.
    The mesh that is up is not touched. Exits with 1 when probed and computed graphs differ,
    when something listens that deploy/attack/inventory.yaml does not name, or when an edge of
    arm E has no reason in deploy/attack/remaining.yaml; and with --check when committed figures
    are others.
    """
    from paymesh.attack.report import committed
    from paymesh.attack.report.looking import conclude

    chosen = _arms(arms)
    _refuse(chosen, write=write, check=check, computed_only=computed_only, picture=picture)
    root = repository_root()
    if diff is None and computed_only and not check and (root / committed.JSON).is_file():
        diff = _COMMITTED
    before = _read(root, diff)
    looks = list(_looks(chosen, root, computed_only=computed_only))
    result, problems = conclude(root, looks)
    if check:
        problems += _stale(root, result, computed_only=computed_only)
    changes = _differences(before, result)
    if output is Format.JSON:
        _print_json(result, looks, changes, problems)
    else:
        _print(result, changes, computed_only=computed_only)
    if picture:
        _draw(root, result, picture)
    if write and not problems:
        for path in committed.write(root, load_mesh(root), result):
            errors.print(f"wrote {safe(path)}")
    if problems:
        shown = problems[:_SHOWN_PROBLEMS]
        rest = len(problems) - len(shown)
        raise PaymeshError("\n".join([*shown, *([f"and {rest} more"] if rest else [])]))


def _arms(chosen: list[str] | None) -> list[Arm]:
    """In the order of the page, each once; all when none is named."""
    from paymesh.attack.model import ARMS

    if wrong := [name for name in chosen or () if name not in ARMS]:
        raise ConfigError(f"there is no arm {wrong[0]!r}; there are {', '.join(ARMS)}")
    return [arm for arm in ARMS if not chosen or arm in chosen]


def _refuse(
    arms: Sequence[Arm], *, write: bool, check: bool, computed_only: bool, picture: Path | None
) -> None:
    """What cannot be done, before anything is started."""
    from paymesh.attack.model import ARMS

    if check and write:
        raise ConfigError("--check changes nothing and --write does: leave out one")
    if write and (computed_only or len(arms) < len(ARMS)):
        raise ConfigError("what is committed was probed in all arms: --write goes with no other")
    if picture and not {"A", "E"} <= set(arms):
        raise ConfigError("the picture is of arms A and E: do not leave one out")
    if picture and not picture.is_dir():
        raise ConfigError(f"{picture} is no directory")
    if not computed_only and os.geteuid() != 0:
        raise ConfigError(
            "probes run under the workloads' uids and in network namespaces: run this as root, or"
            " with --computed-only, which starts nothing"
        )


def _looks(arms: Sequence[Arm], root: Path, *, computed_only: bool) -> Iterator[Look]:
    """One arm after the other; a line on each on standard error."""
    if computed_only:
        from paymesh.attack.report.looking import compute as look
    else:
        from paymesh.attack.report.trying import attempt as look
    for arm in arms:
        with _saying() as say:
            found = look(arm, root, say)
        problems = f", {len(found.problems)} problems" if found.problems else ""
        done = "computed" if computed_only else "probed and computed"
        errors.print(
            f"arm {arm} {done} in {found.seconds:.1f} s: {len(found.graph)} edges{problems}"
        )
        yield found


@contextlib.contextmanager
def _saying() -> Iterator[Callable[[str], None]]:
    """Says on a terminal what is being waited for, in a line that changes."""
    if not errors.is_terminal:
        yield lambda _: None
        return
    with errors.status("starting") as line:
        yield lambda words: line.update(safe(words))


def _read(root: Path, diff: str | None) -> Committed | None:
    from paymesh.attack.report import committed, document

    if diff is None:
        return None
    return committed.read(root) if diff == _COMMITTED else document.read(Path(diff))


def _differences(before: Committed | None, result: Result) -> list[Difference] | None:
    from paymesh.attack.report.difference import compare

    return None if before is None else compare(before.graphs, result.graphs)


def _stale(root: Path, result: Result, *, computed_only: bool) -> list[str]:
    from paymesh.attack.report import committed

    if computed_only:
        # Nothing was there to be measured in seconds.
        result = dataclasses.replace(
            result, lifetimes=committed.lifetimes(committed.read(root).whole)
        )
    found = committed.stale(root, load_mesh(root), result)
    if found:
        found.append("run `paymesh attack-paths --write`, read the difference and commit it")
    return found


def _draw(root: Path, result: Result, directory: Path) -> None:
    from paymesh.attack.report import committed, picture

    path = directory / committed.PICTURE.name
    text = picture.picture(committed.HEADER, load_mesh(root), result)
    path.write_text(text, encoding="utf-8")
    errors.print(f"wrote {safe(path)}")


def _print(result: Result, changes: list[Difference] | None, *, computed_only: bool) -> None:
    from paymesh.attack.report import difference, table

    console.print(safe_lines("\n".join(table.table(result))))
    if result.lifetimes:
        console.print("\n[bold]M4: how long what is stolen goes on working[/bold]")
        console.print(safe_lines("\n".join(table.lifetimes(result))))
    if changes is None and "E" in result.graphs:
        title = f"M5: the {len(result.remaining)} edges that remain in E with a reason"
        console.print(f"\n[bold]{title}[/bold]")
        console.print(safe_lines("\n".join(table.remaining(result))))
    for change in changes or ():
        title = f"arm {change.arm}: {len(change.new)} new edges, {len(change.gone)} gone"
        console.print(f"\n[bold]{title}[/bold]")
        for line in difference.lines(result.universe, change):
            colour = "red" if line.startswith("+") else "green"
            console.print(f"  [{colour}]{safe(line[:1])}[/{colour}]{safe(line[1:])}")
    if computed_only:
        console.print("\ncomputed from files; nothing was started and nothing tried")


def _print_json(
    result: Result,
    looks: Sequence[Look],
    changes: list[Difference] | None,
    problems: Sequence[str],
) -> None:
    from paymesh.attack.report.document import document

    print_json(
        {
            "ok": not problems,
            "problems": list(problems),
            "seconds": {look.arm: round(look.seconds, 1) for look in looks},
            **document(result),
            **({} if changes is None else {"changes": [one.as_json() for one in changes]}),
        }
    )
