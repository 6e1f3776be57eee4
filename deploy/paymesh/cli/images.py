"""`paymesh images`: the container images for a cluster."""

from __future__ import annotations

import enum
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import rich.console
import typer

from paymesh.cli.output import Format, console, errors, print_json, safe
from paymesh.errors import SetupError
from paymesh.paths import default_paths

if TYPE_CHECKING:
    from paymesh.images import Engine

_LINE_INTERVAL_SECONDS = 10.0


PythonImage = Annotated[
    str | None,
    typer.Option(
        help="Base of the Python images: python3 (3.11 or later) with venv.",
        envvar="PAYMESH_PYTHON_IMAGE",
    ),
]


class EngineName(enum.StrEnum):
    """What `--engine` takes."""

    DOCKER = "docker"
    PODMAN = "podman"
    BUILDAH = "buildah"


class ImageName(enum.StrEnum):
    """What can be built on its own."""

    SERVICES = "services"
    PLATFORM = "platform"
    SIMULATORS = "simulators"
    PDP = "pdp"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(images)


def images(
    *,
    names: Annotated[
        list[ImageName] | None, typer.Argument(help="Which; all of them when left out.")
    ] = None,
    engine: Annotated[
        EngineName | None,
        typer.Option(help="The first that works when left out.", envvar="PAYMESH_IMAGE_ENGINE"),
    ] = None,
    python_image: PythonImage = None,
    save: Annotated[
        Path | None, typer.Option(help="Also write docker archives into this directory.")
    ] = None,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="`json` for programs.")
    ] = Format.TABLE,
) -> None:
    """Build the container images of the services, the platform and the policy decision point."""
    from paymesh.images import IMAGES, Request, build, find_engine

    found = find_engine(engine)
    request = Request(found, default_paths(), python_image)
    show = errors if output is Format.JSON else console
    show.print(f"building with {found.name}")
    if save:
        try:
            save.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"--save: {error}") from error
    built = []
    for image in IMAGES:
        if names and image.name not in names:
            continue
        show.print(f"  {image.name}")
        started = time.monotonic()
        tag = build(image, request, _Steps(show))
        seconds = time.monotonic() - started
        show.print(f"✔ {tag} in {seconds:.0f} s")
        entry: dict[str, object] = {"image": tag, "seconds": round(seconds, 1)}
        if save:
            file = save / f"{image.name}.tar"
            found.save(tag, file, _Steps(show))
            show.print(f"✔ {file}: {file.stat().st_size / 1e6:.0f} MB")
            entry |= {"file": str(file.resolve()), "bytes": file.stat().st_size}
        built.append(entry)
    if output is Format.JSON:
        print_json({"engine": found.name, "images": built})


def build_images(engine: Engine, directory: Path, python_image: str | None) -> list[Path]:
    """Builds every image and writes each as a docker archive below `directory`.

    Args:
        engine: what builds.
        directory: for the archives.
        python_image: base of the Python images; the Dockerfile's when None.

    Raises:
        SetupError: the engine refuses; the end of what it says.
    """
    from paymesh.images import IMAGES, Request, build

    request = Request(engine, default_paths(), python_image)
    archives = []
    for image in IMAGES:
        started = time.monotonic()
        console.print(f"  building {image.name} with {engine.name}")
        tag = build(image, request, _Steps(console))
        archives.append(directory / f"{image.name}.tar")
        engine.save(tag, archives[-1], _Steps(console))
        console.print(f"✔ {tag} in {time.monotonic() - started:.0f} s")
    return archives


class _Steps:
    """Shows what an engine is at, now and then: its own lines are hundreds."""

    def __init__(self, show: rich.console.Console) -> None:
        self._show = show
        self._shown = time.monotonic()

    def __call__(self, line: str) -> None:
        now = time.monotonic()
        # An arrow and a digest is what buildah says after each step.
        if (
            line.strip()
            and not line.startswith("-->")
            and now - self._shown >= _LINE_INTERVAL_SECONDS
        ):
            self._shown = now
            self._show.print(f"  … {safe(line.strip()[:120])}")
