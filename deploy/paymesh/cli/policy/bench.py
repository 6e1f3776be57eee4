"""`paymesh policy bench`: what edits, grants and replays cost, on this machine as it is now."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from paymesh.cli import clusters
from paymesh.cli.output import Format, console, print_json

Output = Annotated[Format, typer.Option("-o", "--output", help="`json` for programs.")]


def register(group: typer.Typer) -> None:
    """Adds the commands, in a group of their own."""
    bench = typer.Typer(
        help="Measure what edits, grants and replays cost on this machine.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    bench.command()(reload)
    bench.command()(grants)
    bench.command()(replay)
    group.add_typer(bench, name="bench")


def reload(
    *,
    edits: Annotated[int, typer.Option(help="How many are measured.", min=1, max=100000)] = 200,
    grants: Annotated[
        int, typer.Option(help="That the policy has at least.", min=0, max=25000)
    ] = 10,
    points: Annotated[
        int | None, typer.Option(help="Decision points; by default one a service.", min=1, max=64)
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """From saving a file to every decision point enforcing it.

    A copy of the checkout is edited again and again, beside a bundle server and decision
    points of its own; a mesh that is up is not touched. Each decision point is asked all the
    time. That one decides by an old policy after it did by a new one is an error.
    """
    from paymesh.policy.bench import reload as measurement

    with clusters.progress(quiet=output is Format.JSON) as told:
        found = measurement.measure(edits, grants, points, told.waiting)
    if output is Format.JSON:
        print_json(dataclasses.asdict(found))
        return
    console.print(
        f"{found.edits} edits of a policy with {found.grants} grants,"
        f" {found.decision_points} decision points, {found.decisions} decisions\n"
        f"from the save to the last one's first new decision:"
        f" p50 {found.p50_ms} ms, p99 {found.p99_ms} ms, longest {found.max_ms} ms"
    )
    for name, p99_ms in found.by_decision_point_p99_ms.items():
        console.print(f"  {name}: p99 {p99_ms} ms")
    console.print("✔ after the first new decision there was no old one")


def grants(
    *,
    many: Annotated[
        int, typer.Option("--grants", help="Of the larger policy.", min=500, max=25000)
    ] = 10000,
    output: Output = Format.TABLE,
) -> None:
    """What a decision costs among many grants, and how much memory a grant takes.

    Beside the checkout's own policy, in turns. It ends by itself, in about a minute.
    """
    from paymesh.policy.bench import grants as measurement

    with clusters.progress(quiet=output is Format.JSON) as told:
        found = measurement.measure(many, told.waiting)
    if output is Format.JSON:
        print_json(dataclasses.asdict(found))
        return
    console.print(
        f"a decision among {found.few_grants} grants: {found.few_ns / 1000:.1f} µs\n"
        f"a decision among {found.many_grants}: {found.many_ns / 1000:.1f} µs,"
        f" {found.ratio:.2f} times as much"
        f" (in most rounds {found.ratio_p10:.2f} to {found.ratio_p90:.2f})\n"
        f"a grant takes {found.heap_bytes_per_grant} bytes of a decision point's heap,"
        f" {found.process_bytes_per_grant} of its process"
    )


def replay(
    *,
    records: Annotated[
        int, typer.Option(help="Recorded decisions, some 2 kB each.", min=1, max=100_000_000)
    ] = 1_000_000,
    output: Output = Format.TABLE,
) -> None:
    """How fast recorded decisions are replayed.

    A log is made up and replayed against the policy that decided it; that a single decision
    comes out differently is an error.
    """
    from paymesh.policy.bench import replay as measurement

    with clusters.progress(quiet=output is Format.JSON) as told:
        found = measurement.measure(records, told.waiting)
    if output is Format.JSON:
        print_json(dataclasses.asdict(found))
        return
    console.print(
        f"{found.records} recorded decisions ({found.log_bytes >> 20} MiB) replayed in"
        f" {found.seconds} s: {found.records_per_second} a second,"
        f" {found.distinct} of them distinct\n"
        "✔ the policy that decided them decides all of them alike"
    )
