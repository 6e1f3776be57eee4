"""The images, their names, and how each one is made."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import tomllib
from pathlib import Path

from paymesh import binaries
from paymesh.errors import ConfigError, SetupError
from paymesh.images import context
from paymesh.images.engine import Engine, Report
from paymesh.mesh import repository_root
from paymesh.paths import Paths
from paymesh.setup import builds

# `.internal` is nobody's (ICANN, 2024): a cluster without the image fails instead of pulling one.
REGISTRY = "paymesh.internal"


@dataclasses.dataclass(frozen=True)
class Image:
    """One image; `target` is its stage in the Python Dockerfile, None for a static program."""

    name: str
    target: str | None


IMAGES = (
    Image("services", "services"),
    Image("platform", "platform"),
    Image("simulators", "simulators"),
    Image(binaries.PDP.removeprefix("paymesh-"), None),
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What to build with: `python_image` replaces the Dockerfile's base."""

    engine: Engine
    paths: Paths
    python_image: str | None = None


def image_name(image: Image) -> str:
    """Name and tag: the tag is the version in pyproject.toml.

    Raises:
        ConfigError: that file names none.
    """
    try:
        with (repository_root() / "pyproject.toml").open("rb") as file:
            version = tomllib.load(file)["project"]["version"]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"pyproject.toml names no version: {error!r}") from error
    return f"{REGISTRY}/{image.name}:{version}"


def build(image: Image, request: Request, report: Report) -> str:
    """Builds one image; the engine skips the steps whose inputs are unchanged.

    Args:
        image: of IMAGES.
        request: with what.
        report: gets a line for each step.

    Returns:
        The image's name and tag.

    Raises:
        SetupError: the engine or a compiler refused; has their last lines.
    """
    if sys.platform != "linux":
        raise SetupError("images are built on Linux: they take what `make setup` compiles there")
    tag = image_name(image)
    make = _build_python if image.target else _build_pdp
    with tempfile.TemporaryDirectory(prefix="paymesh-image-") as directory:
        make(image, tag, request, Path(directory), report)
    return tag


def _build_python(image: Image, tag: str, request: Request, scratch: Path, report: Report) -> None:
    settings = context.pip_settings()
    context.stage_python(repository_root(), scratch, settings)
    request.engine.build(
        tag,
        scratch / "deploy/images/python/Dockerfile",
        scratch,
        report,
        target=image.target,
        arguments={"PYTHON_IMAGE": request.python_image} if request.python_image else None,
        host_network=context.needs_host_network(settings, os.environ),
    )


def _build_pdp(_: Image, tag: str, request: Request, scratch: Path, report: Report) -> None:
    builds.run(
        request.paths, builds.PDP, lambda done, total: report(f"{done} of {total} Go packages")
    )
    context.stage_program(
        binaries.built(request.paths, binaries.PDP),
        repository_root() / "deploy/images/pdp/Dockerfile",
        scratch,
    )
    request.engine.build(tag, scratch / "Dockerfile", scratch, report)
