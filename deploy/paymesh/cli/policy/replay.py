"""`paymesh policy replay`: recorded decisions, taken again by another policy."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paymesh.cli.output import Format, console, errors, print_json, safe
from paymesh.cli.policy.replay_ci import number
from paymesh.errors import ConfigError

if TYPE_CHECKING:
    from paymesh.cli.policy.replay_ci import Base as BaseRevision
    from paymesh.policy.log.files import LogFile
    from paymesh.policy.replay import Change, Outcome, Report
    from paymesh.policy.unrecorded import Unrecorded

_PATIENCE_SECONDS = 2.0
_MOST_CUTS_SHOWN = 5
_TITLES = {
    "deny_to_allow": "[bold red]DENY → ALLOW[/bold red]",
    "allow_to_deny": "[bold yellow]ALLOW → DENY[/bold yellow]",
    "reason": "[bold]refused for another reason[/bold]",
    "grant": "[bold]allowed by another grant[/bold]",
}


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(replay)


Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE]...",
        help="Decision logs; `-` is the standard input. Left out: those of the mesh.",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|REV",
        help="The other policy: a checkout, a directory with policies, or a git revision."
        " The working tree if left out.",
    ),
]
Since = Annotated[str | None, typer.Option(help="How long ago, such as 1h, or a time of RFC 3339.")]
Until = Annotated[str | None, typer.Option(help="As --since; itself not included.")]
Where = Annotated[
    str | None, typer.Option("--workload", help="Whose decision point decided; all if left out.")
]
Examples = Annotated[int, typer.Option(help="Decision ids with each change.", min=0, max=1000)]
Ci = Annotated[
    bool,
    typer.Option(
        "--ci",
        help="Exit with 1 when a call is newly allowed or refused that no line names which the"
        " change adds to policies/approvals.yaml, or when it keeps records from being judged.",
    ),
]
Base = Annotated[
    str, typer.Option(metavar="REV", help="With --ci: lines that were there do not count.")
]
Output = Annotated[Format, typer.Option("-o", "--output", help="`json` for programs.")]


def replay(
    files: Files = None,
    *,
    against: Against = None,
    since: Since = None,
    until: Until = None,
    workload: Where = None,
    examples: Examples = 3,
    ci: Ci = False,
    base: Base = "HEAD",
    output: Output = Format.TABLE,
) -> None:
    """Take recorded decisions again by another policy, and list what would change.

    Each is asked at its own time, with the workloads and keys of its own revision. No secret is
    needed, and nothing is decided by it: changes alone are no failure but with --ci. An error exits
    with 1 too: with -o json a JSON document on the standard output means that it ran.
    """
    from paymesh.cli.policy import replay_ci
    from paymesh.mesh import repository_root
    from paymesh.policy import replay as engine

    scope = _scope(files, workload, since, until)
    with _told(scope.bytes) as read:
        report, before, missing = _run(
            against or str(repository_root()),
            scope,
            examples,
            read,
            replay_ci.Base(base, is_known=ci),
        )
    report = engine.without_unfinished(report, scope.logs)
    verdict = replay_ci.judge(report, before, missing, base) if ci else None
    if output is Format.JSON:
        document = dataclasses.asdict(report)
        document["unrecorded_reads"] = [one.place.name for one in missing]
        print_json(document | (verdict.as_json() if verdict else {}))
    else:
        _print(report, missing, against or "the working tree")
        if verdict:
            replay_ci.show(verdict, base)
    if verdict and not verdict.is_ok:
        raise typer.Exit(1)


@dataclasses.dataclass(frozen=True)
class _Scope:
    """Which records: `logs` are those of the mesh, none when files were named."""

    files: Sequence[str]
    logs: Sequence[LogFile]
    since_ns: int | None
    until_ns: int | None
    bytes: int


def _scope(
    files: Sequence[str] | None, workload: str | None, since: str | None, until: str | None
) -> _Scope:
    from paymesh.paths import default_paths
    from paymesh.policy import replay as engine
    from paymesh.policy.log import moments

    now_ns = time.time_ns()
    since_ns = moments.parse(since, now_ns) if since else None
    until_ns = moments.parse(until, now_ns) if until else None
    if files:
        if workload:
            raise ConfigError("--workload is for the mesh's own logs: leave it or the files out")
        for file in files:
            if file != "-" and not Path(file).is_file():
                raise ConfigError(f"there is no decision log {file}")
        sizes = [Path(file).stat().st_size for file in files if file != "-"]
        return _Scope(files, (), since_ns, until_ns, sum(sizes))
    logs = engine.log_files(default_paths(), workload, since_ns, _warn)
    if not logs:
        whose = f"of {workload} " if workload else ""
        raise ConfigError(
            f"no decisions {whose}are recorded: run `paymesh up` and make calls, or name files"
        )
    paths = [str(file.path) for file in logs]
    return _Scope(paths, logs, since_ns, until_ns, sum(file.size for file in logs))


def _warn(found: object) -> None:
    errors.print(f"‼ {safe(found)}")


def _run(
    against: str, scope: _Scope, examples: int, read: Callable[[int], None], base: BaseRevision
) -> tuple[Report, Report | None, list[Unrecorded]]:
    """What the candidate says; in CI, where it leaves records out, what the base says of the
    same; and what the candidate reads that no record holds.
    """
    from paymesh import binaries
    from paymesh.cli.policy import replay_ci
    from paymesh.mesh import load_mesh
    from paymesh.paths import default_paths
    from paymesh.policy import candidate, unrecorded
    from paymesh.policy import replay as engine

    paths = default_paths()
    pdp = binaries.built(paths, binaries.PDP)
    environment = engine.environment(paths, load_mesh())
    files = candidate.load(against, environment)
    archive = paths.policy_archive

    def run(directory: Path) -> Report:
        return engine.run(
            pdp,
            directory,
            scope.files,
            environments=archive if archive.is_dir() else None,
            since_ns=scope.since_ns,
            until_ns=scope.until_ns,
            examples=examples,
            # Named ones are whoever asks' own business: they may well be pipes.
            is_regular=bool(scope.logs),
            read=read,
        )

    known = base.files(environment, files)
    with candidate.unpacked(files) as directory:
        candidate.compile_strictly(pdp, directory)
        missing = unrecorded.found(pdp, directory, paths, known)
        report = run(directory)
    # The standard input is read once.
    if not (base.is_known and replay_ci.leaves_out(report)) or "-" in scope.files:
        return report, None, missing
    with candidate.unpacked(known) as directory:
        return report, run(directory), missing


@contextlib.contextmanager
def _told(total: int) -> Iterator[Callable[[int], None]]:
    """Says after a while how far it is; a million decisions take their seconds."""
    status = errors.status("replaying")
    timer = threading.Timer(_PATIENCE_SECONDS, status.start)
    timer.daemon = True
    timer.start()

    def read(count: int) -> None:
        share = f" {min(100, 100 * count // total)} % of" if total else ""
        status.update(f"replaying{share} {max(total, count) / 1e6:.0f} MB")

    try:
        yield read
    finally:
        timer.cancel()
        status.stop()


def _print(report: Report, missing: Sequence[Unrecorded], against: str) -> None:
    from paymesh.policy.replay import KINDS

    for kind in KINDS:
        changes = report.of(kind)
        if changes:
            count = sum(change.count for change in changes)
            console.print(f"{_TITLES[kind]} ({number(count, 'decision')})")
        for change in changes:
            _print_change(change)
    differently = report.judged - report.unchanged
    said = f"{number(differently, 'decision')} of {report.judged:,} would be different"
    if not report.judged:
        said = "‼ no decision was judged"
    elif not differently and not missing:
        said = f"✔ all {number(report.judged, 'decision')} would be the same"
    by = safe(against)
    console.print(
        f"{said} by {by} [dim]({report.records:,} records, {report.distinct:,} evaluations,"
        f" {report.seconds:.1f} s)[/dim]"
    )
    for one in missing:
        console.print(
            f"‼ the policy reads {safe(one.place.name)}, which no record holds: it is"
            " judged as if it never came along"
        )
    _print_gaps(report)
    example = next((change.examples[0] for change in report.changes if change.examples), None)
    if example:
        console.print(f"\nWhat one rested on: paymesh policy explain {safe(example)}")


def _print_change(change: Change) -> None:
    roles = f" as {', '.join(change.roles)}" if change.roles else ""
    who = f"{change.caller or 'nobody known'}{roles} → {change.rpc or 'no method'}"
    what = f"{_outcome(change.before)} → {_outcome(change.after)}"
    examples = f"[dim]{', '.join(map(safe, change.examples))}[/dim]"
    console.print(f"  {change.count:>9,}  {safe(who)}: {safe(what)}")
    if change.examples:
        console.print(f"           {examples}")


def _outcome(outcome: Outcome) -> str:
    return f"{outcome.reason} by {outcome.grant}" if outcome.grant else outcome.reason


def _print_gaps(report: Report) -> None:
    """Whatever the answer above is not about."""
    for why, count in sorted(report.skipped.items()):
        if why != "outside the time that was asked for":
            console.print(f"‼ {number(count, 'record')} not judged: {safe(why)}")
    if report.partial:
        console.print(
            f"‼ {number(report.partial, 'record')} not judged: the log left out what the policy"
            " reads"
        )
    if report.environment_missing:
        console.print(
            f"‼ {number(report.environment_missing, 'record')} judged with today's workloads:"
            " the bundle that decided is no longer in the archive"
        )
    for cut in report.cut[:_MOST_CUTS_SHOWN]:
        file = safe(cut.file)
        console.print(f"‼ {file}: a line of {cut.bytes} bytes at {cut.offset} is cut off")
    if len(report.cut) > _MOST_CUTS_SHOWN:
        console.print(f"‼ and {len(report.cut) - _MOST_CUTS_SHOWN} more cut lines")
