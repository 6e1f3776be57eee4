"""How long each stolen credential goes on working, measured in a running arm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from paymesh.attack.lifetimes import standing, svids, tokens
from paymesh.attack.lifetimes.model import Lifetime
from paymesh.attack.lifetimes.place import Place
from paymesh.attack.model import Arm
from paymesh.mesh import Mesh
from paymesh.paths import Paths

_TRIES = 3


class Stage(Protocol):
    """The part of a running arm that is needed here."""

    @property
    def arm(self) -> Arm:
        """Which one."""

    @property
    def paths(self) -> Paths:
        """Its home."""

    @property
    def mesh(self) -> Mesh:
        """With its ports."""

    @property
    def databases(self) -> Mapping[str, tuple[str, int]]:
        """The databases' TCP doors, by name."""


def measure(stage: Stage, progress: Callable[[str], None] = lambda _: None) -> list[Lifetime]:
    """Every credential, in about 12 s of which nearly all is waiting: made to run beside
    something else. For root, because it acts as somebody else.

    Args:
        stage: an arm that is up.
        progress: is told which credential is done.

    Raises:
        StartError: something needed for it did not start.
    """
    place = Place(stage.arm, stage.paths, stage.mesh)
    databases = dict(stage.databases)
    place.warm_up()
    work: list[Callable[[], list[Lifetime]]] = [
        (lambda: [svids.claimed(place)]) if stage.arm == "A" else (lambda: [svids.stolen(place)]),
        lambda: [tokens.stolen(place)],
        lambda: standing.all_of(place, databases),
    ]
    if stage.arm != "A":
        work.insert(1, lambda: [svids.revoked(place)])
    with ThreadPoolExecutor(len(work)) as pool:
        running: list[Future[list[Lifetime]]] = [pool.submit(surely, one) for one in work]
        found: list[Lifetime] = []
        for future in running:
            done = future.result()
            found += done
            progress(", ".join(one.credential for one in done))
    return found


def surely(work: Callable[[], list[Lifetime]]) -> list[Lifetime]:
    """Tries again what is contradicted: tenths of seconds count here, and a busy machine is
    late by more. What is not so is not so each time.
    """
    for _ in range(_TRIES - 1):
        found = work()
        if not any(one.contradicted for one in found):
            return found
    return work()
