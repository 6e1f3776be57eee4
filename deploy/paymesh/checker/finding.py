"""What the checker has to say."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One property that does not hold of one file.

    `property` is a stable name of lower-case words with hyphens, for scripts.
    """

    file: str
    property: str
    problem: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}: {self.property}: {self.problem}; {self.mend}"


class Findings:
    """Collects findings of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Finding] = []

    def expect(self, holds: object, property_: str, problem: str, mend: str = "") -> None:
        """Adds a finding unless `holds` is true."""
        if not holds:
            self.found.append(
                Finding(self.file, property_, problem, mend or "run `paymesh render`")
            )

    def equal(self, property_: str, actual: object, expected: object, mend: str = "") -> None:
        """Adds a finding unless both are equal; says both."""
        self.expect(actual == expected, property_, f"{_text(actual)}, not {_text(expected)}", mend)


def _text(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, (set, frozenset)):
        return ", ".join(sorted(str(item) for item in value)) or "nothing"
    return str(value)
