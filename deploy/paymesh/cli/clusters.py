"""What the commands about a cluster share: options, the sentence while something takes time."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import rich.status
import typer

from paymesh.cli.output import console, fail, safe
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh, load_mesh, repository_root
from paymesh.paths import Paths, default_paths

if TYPE_CHECKING:
    from paymesh.kube.progress import Progress
    from paymesh.kube.site import Site

Context = Annotated[
    str | None,
    typer.Option("--context", help="Of the kubeconfig; the current one when left out."),
]
Kube = Annotated[bool, typer.Option("--kube", help="The mesh in a cluster, not on this machine.")]
Timeout = Annotated[float, typer.Option(help="Seconds for all of it.", min=1, max=3600)]

_PLAIN_INTERVAL_SECONDS = 10.0


class _Lines:
    """Done and note are lines; what is being waited for is one that changes on a terminal, and
    one now and then elsewhere.
    """

    def __init__(self, status: rich.status.Status | None) -> None:
        self._status = status
        self._said = time.monotonic()
        self._last = ""

    def done(self, line: str) -> None:
        """A step is done."""
        console.print(f"✔ {safe(line)}")
        self._said = time.monotonic()

    def waiting(self, line: str) -> None:
        """What is being waited for now."""
        text = f"waiting for {safe(line)}"
        if self._status is not None:
            self._status.update(text)
        elif line != self._last and time.monotonic() - self._said >= _PLAIN_INTERVAL_SECONDS:
            console.print(f"  {text}")
            self._last, self._said = line, time.monotonic()

    def note(self, line: str) -> None:
        """Something that the user should know."""
        console.print(f"‼ {safe(line)}")


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """For the user who watches; nothing at all for JSON."""
    from paymesh.kube.progress import Silent

    if quiet:
        yield Silent()
    elif sys.stdout.isatty():
        with console.status("starting") as status:
            yield _Lines(status)
    else:
        yield _Lines(None)


@contextlib.contextmanager
def interruptible(command: str) -> Iterator[None]:
    """Leaves at Ctrl-C with the word that nothing is broken by it."""
    try:
        yield
    except KeyboardInterrupt:
        fail(f"interrupted: what is done stays done, and running `{command}` again is safe")
        raise typer.Exit(130) from None


def site(context: str | None, told: Progress) -> Site:
    """The mesh of this checkout in a context's cluster."""
    from paymesh.kube.site import open_site

    # A cluster has addresses of its own: ports are moved on one machine only.
    return open_site(context, load_mesh(port_offset=0), default_paths(), repository_root(), told)


@contextlib.contextmanager
def gateway(context: str | None, *, kube: bool) -> Iterator[tuple[Paths, Mesh]]:
    """Paths and mesh to dial the gateway with: this machine's, or a cluster's through a
    forwarded port.

    Raises:
        ConfigError: a context without --kube.
    """
    _require_kube(context, kube=kube)
    if not kube:
        yield default_paths(), load_mesh()
        return
    from paymesh.kube.gateway import open_gateway
    from paymesh.kube.progress import Silent

    with open_gateway(site(context, Silent())) as found:
        yield found


def issuer(context: str | None, *, kube: bool) -> tuple[Paths, Mesh]:
    """Paths and mesh to sign end users' tokens with.

    Raises:
        ConfigError: a context without --kube.
    """
    _require_kube(context, kube=kube)
    if not kube:
        return default_paths(), load_mesh()
    from paymesh.kube.progress import Silent

    found = site(context, Silent())
    return found.home.paths, found.mesh


def _require_kube(context: str | None, *, kube: bool) -> None:
    if context is not None and not kube:
        raise ConfigError("--context is for a cluster: add --kube")
