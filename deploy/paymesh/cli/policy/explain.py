"""`paymesh policy explain`: why a recorded decision is as it is."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Annotated

import typer

from paymesh.cli.output import console, errors, print_json
from paymesh.terminal import printable_lines


class Form(enum.StrEnum):
    """What `-o` takes."""

    TEXT = "text"
    JSON = "json"


_STYLES = {"✔": "green", "✗": "red"}


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(explain)


def explain(
    decision_id: Annotated[
        str, typer.Argument(help="From a refusal or the log, or its first 8 characters or more.")
    ],
    *,
    trace: Annotated[
        bool, typer.Option("--trace", help="Step by step, how the policy came to it.")
    ] = False,
    output: Annotated[
        Form, typer.Option("-o", "--output", help="`json`: every fact, for programs.")
    ] = Form.TEXT,
) -> None:
    """Say why a call was allowed or refused, and what would have made a refused one pass.

    The policy that decided is asked again, with what the record holds. Nothing is changed.
    """
    from paymesh import binaries
    from paymesh.mesh import repository_root
    from paymesh.paths import default_paths
    from paymesh.policy.explain import explain as explain_entry
    from paymesh.policy.explain import ground, text
    from paymesh.policy.log import files, find

    paths = default_paths()
    chains = [files.chain(paths.run / name) for name in files.workloads(paths.run)]
    with errors.status("asking the policy again") if errors.is_terminal else nullcontext():
        entry = find.find(decision_id, chains)
        policy = ground.find(paths, repository_root(), str(entry.record.get("revision")))
        pdp = binaries.built(paths, binaries.PDP)
        found = explain_entry(entry, policy, pdp, trace=trace)
    if output is Form.JSON:
        print_json(dataclasses.asdict(found))
        return
    _show(text.sentences(found))


def _show(lines: Iterable[str]) -> None:
    for line in lines:
        console.print(printable_lines(line), style=_STYLES.get(line.lstrip()[:1]), markup=False)
