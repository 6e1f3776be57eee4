"""`paymesh policy log`: the recorded decisions of every workload, filtered and followed."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import rich.text
import typer

from paymesh.cli.output import Format, console, errors, safe
from paymesh.errors import ConfigError

if TYPE_CHECKING:
    from paymesh.paths import Paths
    from paymesh.policy.log.files import LogFile
    from paymesh.policy.log.merge import Reader
    from paymesh.policy.log.records import Damage, Entry
    from paymesh.policy.log.selection import Selection
    from paymesh.policy.log.table import Piece

_LAST = 20
_PATIENCE_SECONDS = 2.0
_MOST_DAMAGE_SHOWN = 5


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(log)


Since = Annotated[
    str | None, typer.Option(help="How long ago, such as 10m, or a time of RFC 3339.")
]
Until = Annotated[str | None, typer.Option(help="As --since; itself not included.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")]
Where = Annotated[str | None, typer.Option("--workload", help="Whose decision point decided.")]
Caller = Annotated[str | None, typer.Option(help="Workload, or a whole SPIFFE ID.")]
Rpc = Annotated[
    str | None,
    typer.Option(help="/package.Service/Method, its last parts, or an object's action."),
]
User = Annotated[str | None, typer.Option(help="Subject of a token that the issuer signed.")]
Tenant = Annotated[str | None, typer.Option(help="The user's.")]
Role = Annotated[str | None, typer.Option(help="One of the user's.")]
Reason = Annotated[str | None, typer.Option(help="Reason code.")]
Grant = Annotated[str | None, typer.Option(help="Id of the grant that allowed.")]
Allowed = Annotated[
    bool | None, typer.Option("--allowed/--denied", help="One of the two answers only.")
]
Revision = Annotated[
    str | None, typer.Option(help="Of the bundle that decided, or one of its two parts.")
]
DecisionId = Annotated[str | None, typer.Option("--id", help="Decision id, or its beginning.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", "-n", min=0, help="The last N; 20 without --since, all with it; 0: all."
    ),
]
Output = Annotated[Format, typer.Option("-o", "--output", help="`json`: the records, one a line.")]


def log(
    *,
    since: Since = None,
    until: Until = None,
    follow: Follow = False,
    workload: Where = None,
    caller: Caller = None,
    rpc: Rpc = None,
    user: User = None,
    tenant: Tenant = None,
    role: Role = None,
    reason: Reason = None,
    grant: Grant = None,
    allowed: Allowed = None,
    revision: Revision = None,
    decision_id: DecisionId = None,
    limit: Limit = None,
    output: Output = Format.TABLE,
) -> None:
    """Show recorded decisions in order of time, those of a mesh that is down too.

    Whatever cannot be read of the logs is named on standard error.
    """
    from paymesh.policy.log.selection import Selection

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
    if follow and until is not None:
        raise typer.BadParameter("--follow has no end: leave --until out")
    if limit is None:
        limit = 0 if since else _LAST
    _show(selection, _Scope(workload, since, until, limit), _Printer(output), follow=follow)


@dataclasses.dataclass(frozen=True)
class _Scope:
    """Where, when and how many."""

    workload: str | None
    since: str | None
    until: str | None
    limit: int


def _show(selection: Selection, scope: _Scope, shown: _Printer, *, follow: bool) -> None:
    from paymesh.paths import default_paths
    from paymesh.policy.log import moments
    from paymesh.policy.log.merge import Reader

    paths, now_ns = default_paths(), time.time_ns()
    _require(paths.run, scope.workload, selection.reason)
    damage: list[Damage] = []
    reader = Reader(
        selection,
        shown.damage if follow else damage.append,
        since_ns=moments.parse(scope.since, now_ns) if scope.since else None,
        until_ns=moments.parse(scope.until, now_ns) if scope.until else None,
    )
    if follow:
        _follow(paths, reader, scope, shown)
    shown.entries(_up_to_now(reader, _chains(paths, scope.workload), scope.limit))
    for found in damage[:_MOST_DAMAGE_SHOWN]:
        shown.damage(found)
    if len(damage) > _MOST_DAMAGE_SHOWN:
        errors.print(f"‼ and {len(damage) - _MOST_DAMAGE_SHOWN} more places like these")
    if not shown.count:
        _hint(selection, scope)


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
                sys.stdout.buffer.write(_json_line(entry) + b"\n")
                continue
            if self.count == 1:
                self._line([(self._layout.header(), "bold")])
            if day(entry.time_ns) != self._day:
                self._day = day(entry.time_ns)
                self._line([(f"── {self._day} ──", "dim")])
            self._line(self._layout.line(entry))
        sys.stdout.flush()

    @staticmethod
    def _line(pieces: list[Piece]) -> None:
        """Colours only on a terminal; elsewhere there may be a million lines."""
        if console.is_terminal:
            console.print(rich.text.Text.assemble(*pieces))
        else:
            sys.stdout.write("".join(text for text, _ in pieces) + "\n")

    @staticmethod
    def damage(found: Damage) -> None:
        """What cannot be read goes to the standard error."""
        errors.print(f"[yellow]‼[/yellow] {safe(str(found))}")


def _json_line(entry: Entry) -> bytes:
    """The record's own bytes; for a terminal, without what it would obey."""
    if not console.is_terminal or entry.line.decode().isprintable():
        return entry.line
    return json.dumps(entry.record, separators=(",", ":")).encode()


def _require(run: Path, workload: str | None, reason: str | None) -> None:
    """Refuses names of things that there are not."""
    from paymesh.mesh import load_mesh, repository_root
    from paymesh.policy.log import codes, files

    if reason is not None:
        codes.require("reason code", reason, codes.known(repository_root()))
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


def _follow(paths: Paths, reader: Reader, scope: _Scope, shown: _Printer) -> NoReturn:
    """Shows what there is, then what comes, until interrupted."""
    from paymesh.policy.log.follow import Follower

    with Follower(paths.run, scope.workload) as follower:
        shown.entries(_up_to_now(reader, follower.chains, scope.limit))
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
        timer.join()
        status.stop()


def _hint(selection: Selection, scope: _Scope) -> None:
    from paymesh.policy.log.selection import Selection

    if scope.since or scope.until:
        errors.print("no such decision in that time: ask for more with an earlier --since")
    elif scope.workload or selection != Selection():
        errors.print("no such decision is recorded: `paymesh policy log` shows the last ones")
    else:
        errors.print("no decision is recorded yet: each call makes one, such as `paymesh demo`'s")
