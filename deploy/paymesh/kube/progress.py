"""What is told to the user while something in the cluster takes its time."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Implemented by the command line; by nothing at all for `-o json`."""

    def done(self, line: str) -> None:
        """A step is done."""

    def waiting(self, line: str) -> None:
        """What is being waited for now; replaces what was said before."""

    def note(self, line: str) -> None:
        """Something that the user should know, and that stops nothing."""


class Silent:
    """Says nothing."""

    def done(self, line: str) -> None:
        """Nothing."""

    def waiting(self, line: str) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""
