"""`python -m meshkit.migrate`: applies one service's migrations, as the owner of its database.

A program and not a part of the service's start: the service's own role may not
change tables. The connection string holds a password and so is no argument: it
is the first line of a file, or of standard input.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from meshkit import database, dsn

STANDARD_INPUT = "-"
_MAX_WAIT_SECONDS = 3600
_PAUSE_SECONDS = 1.0
_MAX_DSN_BYTES = 8192


class UsageError(Exception):
    """An argument names what is not there; the message is one sentence."""


def packaged(service: str) -> Path:
    """Return the directory of a service's own migrations, such as of `bank-link`.

    Raises UsageError.
    """
    module = service.replace("-", "_")
    found = importlib.util.find_spec(module) if module.isidentifier() else None
    if found is None or not found.origin:
        raise UsageError(f"There is no service {service!r} here.")
    return Path(found.origin).parent / "migrations"


def apply(conninfo: str, directory: Path, *, wait_seconds: float = 0.0) -> list[str]:
    """Apply migrations as `database.migrate` does; try again while the database is not there.

    For at most `wait_seconds`, counted to the start of the last attempt. A database
    that is there but lacks the role or refuses it may only be half set up, so that
    is tried again too. Returns the names applied. Raises psycopg.Error, MigrationError.
    """
    deadline = time.monotonic() + wait_seconds
    said = ""
    while True:
        try:
            return database.migrate(conninfo, directory)
        except psycopg.OperationalError as error:
            if time.monotonic() + _PAUSE_SECONDS > deadline:
                raise
            if (why := one_line(error)) != said:
                sys.stderr.write(f"waiting: {why}\n")
                said = why
        time.sleep(_PAUSE_SECONDS)


def one_line(error: Exception) -> str:
    """What went wrong, for the user, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every migration is applied; 1 and one line on standard error otherwise."""
    options = _parser().parse_args(arguments)
    try:
        directory = options.directory or packaged(options.service)
        applied = apply(_dsn(options.dsn_file), directory, wait_seconds=options.wait_seconds)
    except Exception as error:  # noqa: BLE001  # whatever it was, it is one line for the user
        sys.stderr.write(one_line(error) + "\n")
        return 1
    sys.stdout.write("".join(f"applied {name}\n" for name in applied) or "nothing to apply\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m meshkit.migrate", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("directory", nargs="?", type=Path, help="with NNNN_*.sql")
    which.add_argument("--service", metavar="NAME", help="its own directory, such as of bank-link")
    parser.add_argument("--dsn-file", required=True, metavar="FILE", help="- is standard input")
    parser.add_argument("--wait-seconds", type=_wait_seconds, default=0.0, metavar="N")
    return parser


def _wait_seconds(text: str) -> float:
    if not text.isascii() or not text.isdigit() or int(text) > _MAX_WAIT_SECONDS:
        raise argparse.ArgumentTypeError(f"a number from 0 to {_MAX_WAIT_SECONDS}")
    return float(text)


def _dsn(file: str) -> str:
    if file == STANDARD_INPUT:
        text = sys.stdin.readline(_MAX_DSN_BYTES)
    else:
        with Path(file).open(encoding="utf-8") as opened:
            text = opened.readline(_MAX_DSN_BYTES)
    if not text.strip():
        raise UsageError(f"{file} does not begin with a connection string.")
    try:
        dsn.settings(text.strip())
    except dsn.DsnError as error:
        raise UsageError(f"{file} does not begin with a connection string. {error}") from None
    return text.strip()


if __name__ == "__main__":
    sys.exit(main())
