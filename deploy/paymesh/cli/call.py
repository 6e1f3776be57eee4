"""`paymesh call`: one RPC from a workload's own network position, or as an end user."""

from __future__ import annotations

from typing import Annotated

import typer

from paymesh.cli import clusters
from paymesh.cli.output import print_json
from paymesh.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(call)


def call(
    rpc: Annotated[str, typer.Argument(help="SERVICE/METHOD, such as ledger/GetBalance.")],
    request: Annotated[str, typer.Argument(help="The request as JSON.")] = "{}",
    *,
    workload: Annotated[
        str | None,
        typer.Option("--as", help="Call from inside this workload's own network position."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="Call the gateway as this end user.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds.", min=0.01, max=300)] = 15.0,
    kube: clusters.Kube = False,
    context: clusters.Context = None,
) -> None:
    """Make one call; print the reply, or status, reason and decision id and exit with 1.

    With --as and --user both, the workload passes on the user's token, as a service
    does for the call that it is working on.
    """
    from paymesh import dial
    from paymesh.calls import Catalogue, invoke

    if workload is None and user is None:
        raise ConfigError("say who calls: --as WORKLOAD or --user NAME")
    if workload is not None and kube:
        raise ConfigError(
            "a workload's sockets are in its pod: with --kube there is --user only,"
            " and `make test-k8s` calls from pods"
        )
    method = Catalogue.load().method(rpc)
    with clusters.gateway(context, kube=kube) as (paths, mesh):
        metadata = dial.user_metadata(paths, mesh, user) if user else ()
        opened = (
            dial.gateway(paths, mesh)
            if workload is None
            else dial.workload(paths, mesh, workload, method.containing_service.full_name)
        )
        with opened as channel:
            reply = invoke(channel, method, request, metadata=metadata, timeout_seconds=timeout)
    print_json(reply.as_json())
    if not reply.ok:
        raise typer.Exit(1)
