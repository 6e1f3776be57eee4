"""`paymesh kind-up`: from nothing to a checked mesh in a kind cluster."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from paymesh.cli import check, clusters, deploy
from paymesh.cli.images import EngineName, PythonImage, build_images
from paymesh.cli.output import Format, console
from paymesh.grants import load_grants
from paymesh.mesh import repository_root
from paymesh.paths import default_paths


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(name="kind-up")(kind_up)


def kind_up(
    *,
    name: Annotated[str, typer.Option(help="Of the cluster; made when it is not there.")] = (
        "paymesh"
    ),
    engine: Annotated[
        EngineName | None,
        typer.Option(
            help="Builds images, and runs nodes unless it is buildah; else the first that works.",
            envvar="PAYMESH_IMAGE_ENGINE",
        ),
    ] = None,
    python_image: PythonImage = None,
    timeout: clusters.Timeout = 600.0,
) -> None:
    """Make a kind cluster, build and load the images, deploy, and check.

    Running it again brings all of it up to date. `kind delete cluster` ends it.
    """
    from paymesh.checks import kube
    from paymesh.images import find_engine
    from paymesh.kube import home, kind

    nodes = kind.require_tools(engine)
    found = find_engine(engine)
    with (
        clusters.interruptible("paymesh kind-up"),
        tempfile.TemporaryDirectory(prefix="paymesh-images-") as scratch,
    ):
        archives = build_images(found, Path(scratch), python_image)
        with clusters.progress() as told:
            told.waiting(f"kind's cluster {name}")
            configuration = repository_root() / "deploy" / "kind" / "cluster.yaml"
            made = kind.ensure_cluster(name, configuration, nodes)
            if made:
                # Nothing had its name any more, so that the cluster before it is gone.
                home.forget_cluster(default_paths(), kind.context_of(name))
            told.done(f"kind cluster {name}{'' if made else ', which was there'}")
            told.waiting("the cluster to take the images")
            kind.load(name, archives, nodes)
            told.done("images are in the cluster")
        images = kind.digest_of(archives)
    context = kind.context_of(name)
    deploy.bring_up(context, "kind", timeout_seconds=timeout)
    with clusters.interruptible("paymesh kind-up"), clusters.progress() as told:
        site = clusters.site(context, told)
        restarted = kind.restart_onto(site, images, timeout)
        if restarted:
            told.done(f"restarted onto the new images: {', '.join(restarted)}")
    if not check.report(kube.run(kube.Look(site, load_grants())), Format.TABLE):
        raise typer.Exit(1)
    console.print("try `paymesh demo --kube`, or `paymesh call --kube --user alice ...`")
