"""A run of the corpus against the running mesh."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from paymesh.attack import wire
from paymesh.attack.corpus.classes import CLASSES, Class
from paymesh.attack.corpus.ground import Ground
from paymesh.attack.corpus.judge import Fault, Seen, judge
from paymesh.attack.corpus.model import Variant
from paymesh.attack.corpus.observe import Observer
from paymesh.attack.corpus.prepare import prepared
from paymesh.attack.corpus.send import Sender
from paymesh.mesh import Mesh
from paymesh.paths import Paths

_ENVOY_WRITES_SECONDS = 0.6


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of one class."""

    number: int
    title: str
    variants: int
    controls: int
    faults: tuple[Fault, ...]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "class": self.number,
            "title": self.title,
            "variants": self.variants,
            "controls": self.controls,
            "faults": [{"variant": fault.variant, "what": fault.what} for fault in self.faults],
        }


class Run:
    """Sends classes one after the other and judges each."""

    def __init__(self, ground: Ground, observer: Observer) -> None:
        self.ground = ground
        self._observer = observer
        self._sender = Sender()
        self._recorded: set[str] = set()

    def result(self, of: Class, done: Callable[[], None] = lambda: None) -> Result:
        """Sends every variant of a class. `done` is called after each."""
        variants = of.variants(self.ground)
        faults = self._judged(variants, self._sender.send(variants, done))
        busy = {fault.variant for fault in faults if fault.busy}
        again = [variant for variant in variants if variant.id in busy]
        faults = [fault for fault in faults if fault.variant not in busy or not fault.busy]
        for variant in again:
            faults += self._judged([variant], self._sender.send([variant]))
        controls = sum(variant.entitled for variant in variants)
        return Result(of.number, of.title, len(variants) - controls, controls, tuple(faults))

    def overlook(self) -> None:
        """What has happened until now was somebody else's doing and is not judged."""
        self._seen()

    def late(self) -> list[Fault]:
        """What came into the logs after the last class was judged: Envoy writes its own twice
        a second.
        """
        time.sleep(_ENVOY_WRITES_SECONDS)
        return self._judged([], {})

    def _judged(
        self, variants: Sequence[Variant], replies: Mapping[str, wire.Reply]
    ) -> list[Fault]:
        ground = self.ground
        return judge(variants, replies, self._seen(), ground.traces, ground.entitled)

    def _seen(self) -> Seen:
        executions = self._observer.executions(secrets.token_hex(16))
        # An answer is written after its decision, so it is read before.
        answers, decisions = self._observer.answers(), self._observer.decisions()
        self._recorded |= {str(record.get("decision_id")) for record in decisions}
        return Seen(executions, decisions, self._recorded, answers, self._observer.replaced())


@contextlib.contextmanager
def running(paths: Paths, mesh: Mesh) -> Iterator[Run]:
    """A run against a mesh that is up and that nobody else uses meanwhile.

    Raises:
        ConfigError: it is not up, or its keys may not be read.
    """
    ground = Ground(paths, mesh, prepared(paths, mesh), secrets.token_hex(8))
    with Observer(paths, mesh) as observer:
        yield Run(ground, observer)


def results(
    run: Run, numbers: Iterable[int] | None = None, done: Callable[[], None] = lambda: None
) -> Iterator[Result]:
    """Every class, or those of these numbers, in order."""
    wanted = set(CLASSES if numbers is None else numbers)
    for number in sorted(wanted):
        yield run.result(CLASSES[number], done)
