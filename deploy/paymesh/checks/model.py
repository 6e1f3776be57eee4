"""One line of `paymesh check`."""

from __future__ import annotations

import dataclasses
import enum
import os

from paymesh.grants import Grants
from paymesh.mesh import Mesh
from paymesh.paths import Paths


class Level(enum.StrEnum):
    """How a check came out. A warning does not make the command fail."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One check: `problem` says what is wrong, `mend` what to do about it."""

    section: str
    name: str
    level: Level
    problem: str | None = None
    mend: str | None = None


@dataclasses.dataclass(frozen=True)
class Context:
    """What every check is given."""

    paths: Paths
    mesh: Mesh
    grants: Grants

    @property
    def separate_uids(self) -> bool:
        """Whether each workload has a uid of its own here."""
        return os.geteuid() == 0


class Section:
    """Makes findings of one section."""

    def __init__(self, name: str) -> None:
        self._name = name

    def ok(self, name: str) -> Finding:
        """As it should be."""
        return Finding(self._name, name, Level.OK)

    def warning(self, name: str, problem: str, mend: str) -> Finding:
        """Works, and is weaker than it could be."""
        return Finding(self._name, name, Level.WARNING, problem, mend)

    def problem(self, name: str, problem: str, mend: str) -> Finding:
        """Wrong."""
        return Finding(self._name, name, Level.PROBLEM, problem, mend)

    def expect(self, name: str, problem: str | None, mend: str) -> Finding:
        """A problem when there is one, or else fine."""
        return self.ok(name) if problem is None else self.problem(name, problem, mend)
