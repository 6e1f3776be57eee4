"""`paymesh attack-fuzz`: frames, fields and messages that nobody would send, sent to the mesh."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paymesh.cli.output import Format, console, errors, fail, print_json, safe
from paymesh.errors import ConfigError
from paymesh.mesh import load_mesh
from paymesh.paths import default_paths

if TYPE_CHECKING:
    from paymesh.attack.fuzz.judge import Finding
    from paymesh.attack.fuzz.run import Fuzzer, Report

_INTERRUPTED = 130
_LARGEST_SEED = 1 << 31


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("attack-fuzz")(attack_fuzz)


def attack_fuzz(
    *,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=86400, help="How long to go on.")
    ] = 15.0,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The same seed sends the same.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option("--replay", metavar="FILE", help="Send what stands in a file instead."),
    ] = None,
    save: Annotated[
        Path, typer.Option("--save", metavar="DIR", help="Where files of faults are written.")
    ] = Path(),
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` for programs.")
    ] = Format.TABLE,
) -> None:
    """Send malformed HTTP/2, header fields and messages at the mesh that is up, around calls that
    the sender may not make; exit with 1 if one was carried out or anything failed.

    Needs root, for the workloads' sockets and logs, and a mesh that nobody else uses meanwhile.
    Ctrl-C ends it early and shows what was found. What goes wrong is made as small as it can be
    and written to a file, which --replay sends again.
    """
    if os.geteuid() != 0:
        raise ConfigError("this needs every workload's socket and log: run it as root")
    from paymesh.attack.fuzz import run
    from paymesh.attack.fuzz.sequence import read

    show = output is Format.TABLE
    sequences = read(replay) if replay else []
    if not save.is_dir():
        raise ConfigError(f"{save} is no directory")
    with run.fuzzing(default_paths(), load_mesh(), save) as fuzzer:
        if replay:
            _report_replay(fuzzer.replay(sequences), show=show)
        else:
            chosen = secrets.randbelow(_LARGEST_SEED) if seed is None else seed
            _report(_run(fuzzer, chosen, seconds), show=show)


def _run(fuzzer: Fuzzer, seed: int, seconds: float) -> Report:
    with _progress() as progress:
        return fuzzer.run(seed, seconds, progress)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line that changes, where there is a terminal."""
    if not errors.is_terminal:
        yield lambda _: None
        return
    with errors.status("looking at the mesh") as status:
        yield status.update


def _report(report: Report, *, show: bool) -> None:
    if show:
        _print(report)
    else:
        print_json(report.as_json())
    if report.faults:
        raise typer.Exit(1)
    if report.interrupted:
        fail("interrupted")
        sys.exit(_INTERRUPTED)


def _print(report: Report) -> None:
    rate = report.sequences / report.seconds if report.seconds else 0
    console.print(
        f"{report.sequences} sequences of seed {report.seed} in {report.seconds:.0f} s"
        f" ({rate:.0f} a second)"
    )
    for door, count in sorted(report.doors.items()):
        console.print(f"  {count:6}  {safe(door)}")
    ends = ", ".join(f"{count} {how}" for how, count in sorted(report.endings.items()))
    console.print(f"connections: {ends or 'none'}")
    console.print(f"{report.responses} responses, {report.resets} streams reset")
    if report.memory:
        name, (before, after) = max(report.memory.items(), key=lambda one: one[1][1] - one[1][0])
        console.print(f"memory: {name} grew most, from {before} to {after} MiB")
    for fault in report.faults:
        _print_findings(fault.findings)
        how = "happens again with" if fault.again else "did not happen again with"
        names = ", ".join(sequence.name for sequence in fault.sequences[:5])
        count = len(fault.sequences)
        if fault.file:
            console.print(f"    {how} {count} sequence(s), {names}: {safe(fault.file)}")
    if not report.faults:
        console.print("[bold green]nothing was carried out that is not granted[/bold green]")


def _report_replay(findings: list[Finding], *, show: bool) -> None:
    if show:
        _print_findings(findings)
        if not findings:
            console.print("[bold green]nothing goes wrong with these[/bold green]")
    else:
        print_json({"findings": [str(finding) for finding in findings]})
    if findings:
        raise typer.Exit(1)


def _print_findings(findings: list[Finding] | tuple[Finding, ...]) -> None:
    for finding in findings:
        console.print(f"[red]✗[/red] {safe(finding)}")
