"""What every command shares: output formats, colours only on a terminal, errors as one sentence."""

from __future__ import annotations

import enum
import json
import sys
from typing import Any

import rich.console


class Format(enum.StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"


console = rich.console.Console(highlight=False, soft_wrap=True)
errors = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)


def printable(text: object) -> str:
    """Text without what a terminal would obey: a character of that kind is shown as its number."""
    words = str(text)
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in words)


def safe(text: object) -> str:
    """Text that somebody else has chosen, for the console: as it is, and nothing more than text.

    Every text that is not this program's own goes through this: what a workload, a caller, a
    policy or a file says.
    """
    return rich.markup.escape(printable(text))


def print_json(value: Any) -> None:
    """One JSON document on standard output, for programs: never coloured, keys in order."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def fail(message: str) -> None:
    """A sentence on standard error; red where there is a terminal."""
    errors.print(f"[bold red]error:[/bold red] {rich.markup.escape(message)}")
