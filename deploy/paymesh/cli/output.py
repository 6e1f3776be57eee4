"""What every command shares: output formats, colours only on a terminal, errors as one sentence."""

from __future__ import annotations

import enum
import json
import sys
from typing import Any

import rich.console
import rich.markup

from paymesh.terminal import printable, printable_lines


class Format(enum.StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"


# No emoji: `database:ledger:` is a name and no picture of a book.
console = rich.console.Console(highlight=False, soft_wrap=True, emoji=False)
errors = rich.console.Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def safe(text: object) -> str:
    """Text that is not this program's own, for the console: what a workload, a caller, a policy
    or a file says is text and nothing more, no markup and no order to a terminal.
    """
    return rich.markup.escape(printable(text))


def safe_lines(text: str) -> str:
    """The same of text that may have several lines."""
    return rich.markup.escape(printable_lines(text))


def print_json(value: Any) -> None:
    """One JSON document on standard output, for programs: never coloured, keys in order."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if not text.replace("\n", "").isprintable():
        text = json.dumps(value, indent=2)  # with what a terminal would obey as \u escapes
    sys.stdout.write(text + "\n")


def fail(message: str) -> None:
    """A sentence on standard error; red where there is a terminal."""
    errors.print(f"[bold red]error:[/bold red] {safe_lines(message)}")
