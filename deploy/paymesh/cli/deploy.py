"""`paymesh deploy` and `paymesh undeploy`: the mesh in a cluster."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from paymesh.cli import clusters
from paymesh.cli.output import Format, console, print_json
from paymesh.mesh import load_mesh
from paymesh.paths import default_paths

if TYPE_CHECKING:
    from paymesh.kube.undeploy import Plan


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(deploy)
    app.command()(undeploy)


def deploy(
    *,
    context: clusters.Context = None,
    overlay: Annotated[
        str | None,
        typer.Option(
            help="`kind`, `production`, or a directory with a kustomization; when left out, what"
            " the cluster has, and `kind` before the first deployment."
        ),
    ] = None,
    change_overlay: Annotated[
        bool,
        typer.Option("--change-overlay", help="Replace the cluster's overlay by another one."),
    ] = False,
    timeout: clusters.Timeout = 300.0,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Set back what others have changed by hand.")
    ] = False,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` for programs.")
    ] = Format.TABLE,
) -> None:
    """Bring the mesh up in a cluster, or bring it up to date; return when every pod is ready.

    The keys that sign policies and tokens stay on this machine. Running it again is safe.
    """
    bring_up(
        context,
        overlay,
        change_overlay=change_overlay,
        timeout_seconds=timeout,
        take_over=take_over,
        quiet=output is Format.JSON,
    )


def bring_up(
    context: str | None,
    overlay: str | None,
    *,
    timeout_seconds: float,
    change_overlay: bool = False,
    take_over: bool = False,
    quiet: bool = False,
) -> None:
    """Deploys and says how it went.

    Raises:
        PaymeshError: it did not come up; says what is stuck and why.
    """
    from paymesh import binaries
    from paymesh.kube.deploy import Deployment, overlay_for

    with clusters.interruptible("paymesh deploy"), clusters.progress(quiet=quiet) as told:
        told.waiting("the cluster to answer")
        site = clusters.site(context, told)
        directory = overlay_for(site, overlay, change=change_overlay)
        pdp = binaries.built(site.paths, binaries.PDP)
        run = Deployment(site, pdp, timeout_seconds=timeout_seconds, take_over=take_over)
        done = run.run(directory)
    if quiet:
        print_json({"context": site.cluster.context, **dataclasses.asdict(done)})
        return
    console.print(
        f"✔ the mesh is up in context {site.cluster.context} after {done.seconds:.1f} s:"
        f" {done.applied} objects, policy {done.revision}"
    )


def undeploy(
    *,
    context: clusters.Context = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Leave the databases' volumes and passwords.")
    ] = False,
    timeout: clusters.Timeout = 300.0,
) -> None:
    """Remove everything from a cluster that deployments made there, and nothing else.

    The keys on this machine stay, so that a next deployment has the same ones.
    """
    from paymesh.kube import undeploy as work
    from paymesh.kube.contexts import connect
    from paymesh.kube.wait import Deadline

    cluster, mesh = connect(context), load_mesh(port_offset=0)
    wanted = work.plan(cluster, mesh, keep_data=keep_data)
    if wanted.is_empty:
        console.print(f"✔ there is nothing of the mesh in context {cluster.context}")
        return
    _tell(wanted, cluster.context)
    if not yes:
        typer.confirm("Remove all of this?", abort=True)
    with clusters.interruptible("paymesh undeploy"), clusters.progress() as told:
        work.undeploy(cluster, wanted, told, Deadline(timeout))
    from paymesh.kube.home import cluster_paths

    home = cluster_paths(default_paths(), cluster.context).home
    console.print(f"✔ the mesh is gone from context {cluster.context}; its keys stay in {home}")


def _tell(wanted: Plan, context: str) -> None:
    """Everything by its name, except for what a namespace takes along and can be made again."""
    from paymesh.kube.undeploy import few

    console.print(f"From context [bold]{context}[/bold] these will be removed:")
    for room in wanted.rooms:
        if not room.stays_for:
            console.print(f"  namespace {room.name} with everything in it")
            continue
        console.print(f"  of namespace {room.name}, which stays for {few(room.stays_for)}:")
        for place in room.going:
            console.print(f"    {place.short}")
    for place in wanted.lost:
        console.print(f"  [red]data[/red] of {place}, for ever")
    for place in [*wanted.identities, *wanted.cluster_wide, *wanted.definitions]:
        console.print(f"  {place}")
