"""`paymesh policy log`: the recorded decisions of every workload, filtered and followed."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import rich.markup
import typer

from paymesh.cli.output import Format, console, errors
from paymesh.errors import ConfigError

if TYPE_CHECKING:
    from paymesh.paths import Paths
    from paymesh.policy.log.files import LogFile
    from paymesh.policy.log.merge import Reader
    from paymesh.policy.log.records import Damage, Entry

_LAST = 20
_PATIENCE_SECONDS = 2.0
_MOST_DAMAGE_SHOWN = 5


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(log)


def log(
    *,
    since: Annotated[
        str | None, typer.Option(help="How long ago, such as 10m, or a time of RFC 3339.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="As --since; itself not included.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until interrupted.")
    ] = False,
    workload: Annotated[str | None, typer.Option(help="Whose decision point decided.")] = None,
    caller: Annotated[str | None, typer.Option(help="Workload, or a whole SPIFFE ID.")] = None,
    rpc: Annotated[
        str | None,
        typer.Option(help="/package.Service/Method, its last parts, or an object's action."),
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Subject of a token that the issuer signed.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="The user's.")] = None,
    role: Annotated[str | None, typer.Option(help="One of the user's.")] = None,
    reason: Annotated[str | None, typer.Option(help="Reason code.")] = None,
    grant: Annotated[str | None, typer.Option(help="Id of the grant that allowed.")] = None,
    allowed: Annotated[
        bool | None, typer.Option("--allowed/--denied", help="One of the two answers only.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Of the bundle that decided, or one of its two parts.")
    ] = None,
    decision_id: Annotated[
        str | None, typer.Option("--id", help="Decision id, or its beginning.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", min=0, help="The last N; 20 without --since, all with it; 0: all."
        ),
    ] = None,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json`: the records, one a line.")
    ] = Format.TABLE,
) -> None:
    """Show recorded decisions in order of time, those of a mesh that is down too.

    Whatever cannot be read of the logs is named on standard error.
    """
    from paymesh.mesh import repository_root
    from paymesh.paths import default_paths
    from paymesh.policy.log import codes, moments
    from paymesh.policy.log.merge import Reader
    from paymesh.policy.log.selection import Selection

    now_ns = time.time_ns()
    if follow and until is not None:
        raise typer.BadParameter("--follow has no end: leave --until out")
    if reason is not None:
        codes.require("reason code", reason, codes.known(repository_root()))
    paths = default_paths()
    _require_workload(paths.run, workload)
    selection = Selection(
        caller=caller,
        rpc=rpc,
        user=user,
        tenant=tenant,
        role=role,
        reason=reason,
        grant=grant,
        allowed=allowed,
        revision=revision,
        decision_id=decision_id,
    )
    shown = _Printer(output)
    damage: list[Damage] = []
    reader = Reader(
        selection,
        shown.damage if follow else damage.append,
        since_ns=moments.parse(since, now_ns) if since else None,
        until_ns=moments.parse(until, now_ns) if until else None,
    )
    if limit is None:
        limit = 0 if since else _LAST
    if follow:
        _follow(paths, workload, reader, limit, shown)
    shown.entries(_up_to_now(reader, _chains(paths, workload), limit))
    for found in damage[:_MOST_DAMAGE_SHOWN]:
        shown.damage(found)
    if len(damage) > _MOST_DAMAGE_SHOWN:
        errors.print(f"‼ and {len(damage) - _MOST_DAMAGE_SHOWN} more places like these")
    if not shown.count:
        _hint(is_filtered=selection != Selection() or bool(workload), since=since, until=until)


class _Printer:
    """Puts entries on the standard output as they come."""

    def __init__(self, output: Format) -> None:
        from paymesh.policy.log.table import Layout

        self.count = 0
        self._is_json = output is Format.JSON
        self._layout = Layout.of(console.width if console.is_terminal else None)
        self._day = ""

    def entries(self, entries: Iterable[Entry]) -> None:
        """One line each; in a table a line before each new day."""
        from paymesh.policy.log.table import day

        for entry in entries:
            self.count += 1
            if self._is_json:
                sys.stdout.buffer.write(entry.line + b"\n")
                continue
            if self.count == 1:
                console.print(self._layout.header(), style="bold")
            if day(entry.time_ns) != self._day:
                self._day = day(entry.time_ns)
                console.print(f"── {self._day} ──", style="dim")
            console.print(self._layout.line(entry))
        sys.stdout.flush()

    @staticmethod
    def damage(found: Damage) -> None:
        """What cannot be read goes to the standard error."""
        errors.print(f"[yellow]‼[/yellow] {rich.markup.escape(str(found))}")


def _require_workload(run: Path, workload: str | None) -> None:
    from paymesh.mesh import load_mesh
    from paymesh.policy.log import codes, files

    if workload is not None:
        services = [service.name for service in load_mesh().services()]
        choices = {*files.workloads(run), *services}
        codes.require("workload with a decision point", workload, choices)
    if not run.is_dir():
        raise ConfigError("there are no decisions yet: run `paymesh up`")


def _chains(paths: Paths, workload: str | None) -> list[list[LogFile]]:
    from paymesh.policy.log import files, writers

    is_written = writers.is_written(paths)
    return [
        files.chain(paths.run / name, is_written)
        for name in files.workloads(paths.run)
        if workload in {None, name}
    ]


def _up_to_now(reader: Reader, chains: Iterable[Sequence[LogFile]], limit: int) -> Iterator[Entry]:
    """In order of time; the last `limit`, or all when that is 0."""
    if limit:
        with _patience():
            newest = list(itertools.islice(reader.newest_first(chains), limit))
        yield from reversed(newest)
        return
    entries = reader.oldest_first(chains)
    with _patience():
        first = next(entries, None)
    if first is not None:
        yield first
        yield from entries


def _follow(
    paths: Paths, workload: str | None, reader: Reader, limit: int, shown: _Printer
) -> NoReturn:
    """Shows what there is, then what comes, until interrupted."""
    from paymesh.policy.log.follow import Follower

    with Follower(paths.run, workload) as follower:
        shown.entries(_up_to_now(reader, follower.chains, limit))
        for batch in follower.batches(reader):
            shown.entries(batch)
    raise AssertionError("a log is followed for ever")


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Says after a while that something is done; large logs take their time."""
    status = errors.status("reading the decision logs")
    timer = threading.Timer(_PATIENCE_SECONDS, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()


def _hint(*, is_filtered: bool, since: str | None, until: str | None) -> None:
    if since or until:
        errors.print("no such decision in that time: ask for more with an earlier --since")
    elif is_filtered:
        errors.print("no such decision is recorded: `paymesh policy log` shows the last ones")
    else:
        errors.print("no decision is recorded yet: each call makes one, such as `paymesh demo`'s")
