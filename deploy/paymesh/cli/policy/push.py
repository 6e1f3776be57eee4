"""`paymesh policy push`: a changed policy into a cluster."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from paymesh.cli import clusters
from paymesh.cli.output import Format, console, print_json


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(push)


def push(
    *,
    context: clusters.Context = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds for the pods to follow.", min=0.1, max=600)
    ] = 10.0,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` for programs.")
    ] = Format.TABLE,
) -> None:
    """Compile and sign the checkout's policy, and wait until every pod enforces it.

    What does not compile, or grants something that does not exist, changes nothing.
    """
    from paymesh import binaries
    from paymesh.kube.push import push as push_policy

    quiet = output is Format.JSON
    with clusters.interruptible("paymesh policy push"), clusters.progress(quiet=quiet) as told:
        told.waiting("the cluster to answer")
        site = clusters.site(context, told)
        pdp = binaries.built(site.paths, binaries.PDP)
        done = push_policy(site, pdp, timeout_seconds=timeout)
    if quiet:
        print_json(dataclasses.asdict(done))
    elif done.changed:
        console.print(
            f"✔ {done.revision} is enforced by {done.pods} decision points after"
            f" {done.seconds:.2f} s"
        )
    else:
        console.print(
            f"✔ {done.revision} was published already; {done.pods} decision points enforce it"
        )
