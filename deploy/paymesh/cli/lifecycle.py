"""`paymesh up`, `down`, `status` and `logs`."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import rich.status
import rich.table
import typer

from paymesh.cli.output import Format, console, print_json, safe, safe_lines
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh, load_mesh
from paymesh.paths import Paths, default_paths
from paymesh.runtime import lifecycle
from paymesh.runtime import logs as runtime_logs
from paymesh.runtime import status as runtime_status
from paymesh.runtime.status import MeshStatus
from paymesh.terminal import printable_lines

_COLOURS = {
    "ready": "green",
    "stopped": "dim",
    "waiting": "dim",
    "failed": "bold red",
    "backoff": "red",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(logs)


def up() -> None:
    """Bring the mesh up and return when every process is ready."""
    bring_up(default_paths(), load_mesh())


def down(
    *,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove databases, keys and logs too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the mesh; its data stays."""
    paths = default_paths()
    if purge and not yes:
        typer.confirm(f"Remove everything in {paths.home}?", abort=True)
    bring_down(paths)
    if purge:
        lifecycle.purge(paths)
        console.print(f"✔ {paths.home} is removed")


def status(
    *,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` for programs.")
    ] = Format.TABLE,
) -> None:
    """List the processes; exit with 1 unless all of them are ready."""
    paths = default_paths()
    found = lifecycle.running(paths)
    if output is Format.JSON:
        print_json(_as_json(found))
    elif found is None:
        console.print("the mesh is down: run `paymesh up`")
    else:
        _print(found)
    if found is None or found.state != "ready":
        raise typer.Exit(1)


def logs(
    process: Annotated[
        str | None, typer.Argument(help="As `paymesh status` lists it; all when left out.")
    ] = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until interrupted.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=10000)] = 50,
) -> None:
    """Show the end of a process's log, or of all of them."""
    paths = default_paths()
    known = {path.stem: path for path in sorted(paths.logs.glob("*.log"))}
    if not known:
        raise ConfigError("there are no logs yet: run `paymesh up`")
    if process is not None and process not in known:
        raise ConfigError(f"there is no log of {process!r}; there are {', '.join(known)}")
    chosen = [known[process]] if process else list(known.values())
    width = max(len(path.stem) for path in chosen)
    for path in chosen:
        for line in runtime_logs.tail(path, lines):
            _print_line(path.stem, line, width, alone=process is not None)
    if follow:
        for path, line in runtime_logs.follow(chosen):
            _print_line(path.stem, line, width, alone=process is not None)


def is_up(paths: Paths) -> bool:
    """Whether a supervisor runs in this home."""
    return lifecycle.running(paths) is not None


def bring_up(paths: Paths, mesh: Mesh, *, quiet: bool = False) -> None:
    """Brings the mesh up, or waits until the one that is up is ready; one that was
    started from other sources is started anew.

    Args:
        paths: its home.
        mesh: whose gateway is named at the end.
        quiet: prints nothing, for the sake of JSON that follows.

    Raises:
        PaymeshError: it does not come up; one sentence and the end of a log.
    """
    started = time.monotonic()
    before = lifecycle.running(paths)
    after: list[MeshStatus] = []
    _with_progress(lambda progress: after.append(lifecycle.start(paths, progress)), quiet=quiet)
    if quiet:
        return
    gateway = mesh.workloads.get("gateway")
    where = f", gateway at https://localhost:{gateway.port}" if gateway else ""
    if before is not None and before.supervisor == after[0].supervisor:
        console.print(f"✔ the mesh was up already and every process is ready{where}")
    else:
        if before is not None:
            console.print("  it was started anew: sources or configuration have changed since")
        console.print(f"✔ the mesh is up after {time.monotonic() - started:.1f} s{where}")
    if not after[0].separate_uids:
        console.print(
            "  all workloads share one uid: the separation between them is weaker than as root"
        )


def bring_down(paths: Paths, *, quiet: bool = False) -> None:
    """Stops the mesh if it is up."""
    found: list[bool] = []
    _with_progress(lambda progress: found.append(lifecycle.stop(paths, progress)), quiet=quiet)
    if not quiet:
        console.print("✔ the mesh is down" if found[0] else "✔ the mesh was down already")


def _with_progress(work: object, *, quiet: bool) -> None:
    """Runs `work(progress)` and shows what is being waited for: a line that changes on a
    terminal, else a line for each process as it becomes ready.
    """
    assert callable(work)  # noqa: S101 — for the type checker
    if quiet:
        work(lambda _: None)
    elif sys.stdout.isatty():
        with console.status("starting") as line:
            work(lambda found: line.update(safe(_summary(found))))
    else:
        shown: set[str] = set()
        work(lambda found: _print_new(found, shown))


def _summary(found: MeshStatus) -> str:
    """What is being waited for, in one line."""
    if not found.processes:
        return found.step or found.state
    if found.state == "stopping":
        left = [p.name for p in found.processes if p.id]
        return f"stopping, {len(left)} left: {', '.join(left)}"
    missing = [p.name for p in found.processes if p.state != "ready"]
    ready = len(found.processes) - len(missing)
    return f"{ready} of {len(found.processes)} ready, waiting for {', '.join(missing)}"


def _print_new(found: MeshStatus, shown: set[str]) -> None:
    if found.state not in {"starting", "ready"}:
        return
    for process in found.processes:
        if process.state == "ready" and process.name not in shown:
            shown.add(process.name)
            console.print(f"  {process.name} is ready")


def _as_json(found: MeshStatus | None) -> dict[str, object]:
    if found is None:
        return {"state": "down", "home": str(default_paths().home), "processes": []}
    return {
        "state": found.state,
        "home": str(default_paths().home),
        "supervisor_pid": found.supervisor.pid if found.supervisor else None,
        "separate_uids": found.separate_uids,
        "ready_after_seconds": found.ready_after_seconds,
        "error": found.error,
        "policy": runtime_status.read_policy(default_paths()),
        "processes": [process.as_json() for process in found.processes],
    }


def _print(found: MeshStatus) -> None:
    table = rich.table.Table(box=None, pad_edge=False)
    for column in ("PROCESS", "STATE", "PID", "UPTIME", "RESTARTS", "LAST EXIT"):
        table.add_column(column, justify="right" if column in {"PID", "RESTARTS"} else "left")
    now = time.time()
    for process in found.processes:
        state: str = process.state
        if process.backoff_seconds is not None and state == "backoff":
            state = f"{state} {process.backoff_seconds:g}s"
        colour = _COLOURS.get(process.state, "yellow")
        table.add_row(
            process.name,
            f"[{colour}]{state}[/{colour}]",
            str(process.pid or ""),
            _duration(process.uptime_seconds(now)),
            str(process.restarts),
            safe(process.last_exit or ""),
        )
    console.print(table)
    if found.error:
        console.print(safe_lines(found.error))
    _print_policy(runtime_status.read_policy(default_paths()))
    if not found.separate_uids:
        console.print("one uid for all workloads: weaker separation than as root")


def _print_policy(policy: dict[str, Any] | None) -> None:
    if policy is None:
        return
    if policy["state"] == "ok":
        console.print(f"policy {policy['revision']} is in force")
    else:
        problem = safe_lines(policy["problem"])
        console.print(
            f"[bold yellow]the last edit of the policy was refused:[/bold yellow] {problem}\n"
            f"policy {policy['revision']} stays in force"
        )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h"


def _print_line(process: str, line: str, width: int, *, alone: bool) -> None:
    text = line if alone else f"{process:<{width}}  {line}"
    # A program gets the bytes; a terminal would obey some of them.
    sys.stdout.write((printable_lines(text) if sys.stdout.isatty() else text) + "\n")
    sys.stdout.flush()
