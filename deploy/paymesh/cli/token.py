"""`paymesh token`: a token for an end user of the demo."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from paymesh.cli import clusters
from paymesh.cli.output import Format, print_json


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(token)


def token(
    name: Annotated[str, typer.Argument(help="A user that deploy/mesh.yaml names.")],
    *,
    ttl: Annotated[
        int | None, typer.Option(help="Seconds that it is good for.", min=1, max=86400)
    ] = None,
    kube: clusters.Kube = False,
    context: clusters.Context = None,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` adds the claims.")
    ] = Format.TABLE,
) -> None:
    """Print a signed token for an end user, to put after `authorization: Bearer`."""
    from paymesh import users

    paths, mesh = clusters.issuer(context, kube=kube)
    claims = users.claims(mesh, users.find(mesh, name), ttl_seconds=ttl)
    signed = users.sign(paths, claims)
    if output is Format.JSON:
        print_json({"token": signed, "claims": claims})
    else:
        sys.stdout.write(signed + "\n")
