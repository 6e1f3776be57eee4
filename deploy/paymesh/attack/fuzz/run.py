"""A run of the fuzzer: batches of sequences, and which of them it was when something is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from paymesh.attack.fuzz import sequence as files
from paymesh.attack.fuzz.doors import Doors
from paymesh.attack.fuzz.grammar import generate
from paymesh.attack.fuzz.judge import GONE, Finding, Judge
from paymesh.attack.fuzz.minimise import smallest
from paymesh.attack.fuzz.send import Ending, send_all
from paymesh.attack.fuzz.sequence import Sequence as Frames
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh
from paymesh.paths import Paths

_BATCH = 192
_MOST_FAULTS = 5
_NARROWING_SECONDS = 60.0

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Fault:
    """What went wrong, and what has to be sent for it to go wrong again.

    Attributes:
        findings: of the judge.
        sequences: one, as small as could be; all of a batch when it did not happen again.
        again: whether it did.
        file: where the sequences are.
    """

    findings: tuple[Finding, ...]
    sequences: tuple[Frames, ...]
    again: bool
    file: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "findings": [str(finding) for finding in self.findings],
            "sequences": [sequence.name for sequence in self.sequences],
            "happened_again": self.again,
            "file": str(self.file) if self.file else None,
        }


@dataclasses.dataclass
class Report:
    """What was done so far, and what was found. `memory`: of a process at the beginning and at
    the end, MiB.
    """

    seed: int
    sequences: int = 0
    seconds: float = 0.0
    doors: Counter[str] = dataclasses.field(default_factory=Counter)
    endings: Counter[str] = dataclasses.field(default_factory=Counter)
    responses: int = 0
    resets: int = 0
    faults: list[Fault] = dataclasses.field(default_factory=list)
    memory: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    interrupted: bool = False

    def enough(self) -> bool:
        """Whether there is no use in going on."""
        gone = any(finding.kind == GONE for fault in self.faults for finding in fault.findings)
        return gone or len(self.faults) >= _MOST_FAULTS

    def as_json(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "seed": self.seed,
            "sequences": self.sequences,
            "seconds": round(self.seconds, 1),
            "doors": dict(self.doors),
            "connections": dict(self.endings),
            "responses": self.responses,
            "resets": self.resets,
            "memory_mib": self.memory,
            "interrupted": self.interrupted,
            "faults": [fault.as_json() for fault in self.faults],
        }


class Fuzzer:
    """Sends to a mesh that is up and that nobody else uses meanwhile."""

    def __init__(self, doors: Doors, judge: Judge, save: Path, batch: int = _BATCH) -> None:
        """Args:
        doors: of the mesh.
        judge: of the same.
        save: directory for files of what went wrong.
        batch: how many sequences are sent before the mesh is looked at.
        """
        self.batch = batch
        self.doors = doors
        self.judge = judge
        self._save = save
        self._before: Sequence[Frames] = ()

    def run(self, seed: int, seconds: float, progress: Progress = lambda _: None) -> Report:
        """For so long, or until it was interrupted or has found enough.

        Args:
            seed: the same seed makes the same sequences, in this order.
            seconds: after which no further batch is begun.
            progress: takes a few words after each batch.
        """
        report = Report(seed)
        began = time.monotonic()
        try:
            for finding in self.judge.verdict([]):
                raise ConfigError(f"the mesh is not well to begin with: {finding}")
            before = self.judge.vitals.memory()
            began = time.monotonic()
            while time.monotonic() - began < seconds and not report.enough():
                self._batch(report)
                report.seconds = time.monotonic() - began
                progress(f"{report.sequences} sequences, {report.seconds:.0f} of {seconds:.0f} s")
            after = self.judge.vitals.memory()
            report.memory = {
                name: (before[name] >> 20, after.get(name, 0) >> 20) for name in before
            }
            last = () if report.enough() else tuple(self.judge.verdict([], thorough=True))
            if last:
                report.faults.append(Fault(last, (), again=False))
        except KeyboardInterrupt:
            report.interrupted = True
        report.seconds = time.monotonic() - began
        return report

    def replay(self, sequences: Sequence[Frames]) -> list[Finding]:
        """What goes wrong with these.

        Raises:
            ConfigError: one is for a door that this mesh has not.
        """
        self.judge.verdict([])
        return self._tried(sequences)[1]

    def _batch(self, report: Report) -> None:
        menus = self.doors.menus
        numbers = range(report.sequences, report.sequences + self.batch)
        batch = [generate(report.seed, number, menus) for number in numbers]
        endings, findings = self._tried(batch)
        report.sequences += len(batch)
        report.doors.update(sequence.door for sequence in batch)
        report.endings.update(ending.how for ending in endings)
        report.responses += sum(ending.responses for ending in endings)
        report.resets += sum(ending.resets for ending in endings)
        if findings:
            self._report(report, batch, findings)
        self._before = batch

    def _report(self, report: Report, batch: Sequence[Frames], findings: Sequence[Finding]) -> None:
        """Adds what was found, as narrow as it can be made before somebody interrupts."""
        fault = Fault(tuple(findings), tuple(batch), again=False)
        try:
            if not any(finding.kind == GONE for finding in findings):
                fault = self._narrowed(batch, self._before, findings)
        finally:
            number = len(report.faults) + 1
            file = self._save / f"fuzz-{report.seed}-{number}.hex"
            files.write(file, fault.sequences, (str(finding) for finding in fault.findings))
            report.faults.append(dataclasses.replace(fault, file=file))

    def _tried(self, sequences: Sequence[Frames]) -> tuple[list[Ending], list[Finding]]:
        doors = self.doors.by_name
        unknown = {sequence.door for sequence in sequences} - set(doors)
        if unknown:
            raise ConfigError(f"there is no door {min(unknown)!r} here: {', '.join(doors)}")
        endings = send_all([(doors[sequence.door], sequence) for sequence in sequences])
        asked = {sequence.door for sequence in sequences}
        return endings, self.judge.verdict(doors[name] for name in sorted(asked))

    def _narrowed(
        self, batch: Sequence[Frames], before: Sequence[Frames], findings: Sequence[Finding]
    ) -> Fault:
        """The one sequence of a batch that does the same again, with the frames that it takes."""
        kinds = {finding.kind for finding in findings}
        deadline = time.monotonic() + _NARROWING_SECONDS

        def fails(sequences: Sequence[Frames]) -> bool:
            if time.monotonic() > deadline:
                return False
            return bool(kinds & {finding.kind for finding in self._tried(sequences)[1]})

        traces = frozenset().union(*(finding.traces for finding in findings))
        known = [sequence for sequence in batch if files.traces(sequence) & traces]
        shortest = sorted(known, key=lambda sequence: len(sequence.frames))[:1]
        # What dies may take a moment: it may have been the batch before.
        suspects = next((some for some in (shortest, batch, before) if some and fails(some)), None)
        if suspects is None:
            return Fault(tuple(findings), (*before, *batch), again=False)
        found = smallest(suspects, fails)
        if len(found) == 1:
            (one,) = found
            frames = smallest(one.frames, lambda frames: fails([one.replaced(frames)]))
            found = [one.replaced(frames)]
        return Fault(tuple(findings), tuple(found), again=True)


@contextlib.contextmanager
def fuzzing(paths: Paths, mesh: Mesh, save: Path) -> Iterator[Fuzzer]:
    """A fuzzer for the mesh that is up there.

    Args:
        paths: of the mesh.
        mesh: the same.
        save: directory for files of what goes wrong.

    Raises:
        ConfigError: it is not up, or is another user's.
    """
    with Judge(paths, mesh) as judge:
        yield Fuzzer(Doors(paths, mesh), judge, save)
