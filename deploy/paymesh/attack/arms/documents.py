"""YAML files of the copy, changed as values."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from paymesh.errors import SetupError
from paymesh.mesh import read_yaml

_HEADER = "# Changed for arm {arm} of `paymesh attack-paths`: Paymesh is shipped with another.\n"


class _Dumper(yaml.SafeDumper):
    """Writes a value that stands twice in full."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 — PyYAML's signature
        return True


def edit(path: Path, arm: str, change: Callable[[Any], None]) -> None:
    """Reads a file, lets `change` change what is in it, and writes it with a header; the order
    of keys and lists stays, comments do not.

    Raises:
        ConfigError: it cannot be read or is no YAML.
        SetupError: it does not have the form that `change` expects.
    """
    document = read_yaml(path)
    try:
        change(document)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise SetupError(
            f"{path} does not have the form that arm {arm} changes: {type(error).__name__}: {error}"
        ) from error
    write(path, arm, document)


def write(path: Path, arm: str, document: Any) -> None:
    """Writes a value with the header."""
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
    path.write_text(_HEADER.format(arm=arm) + text, encoding="utf-8")


def replace_text(path: Path, old: str, new: str, times: int) -> None:
    """Replaces exact text that has to stand there exactly so often.

    Raises:
        SetupError: it does not.
    """
    text = path.read_text(encoding="utf-8")
    found = text.count(old)
    if found != times:
        raise SetupError(f"{path} has {old!r} {found} times, and an arm changes it {times} times")
    before = path.stat()
    path.write_text(text.replace(old, new), encoding="utf-8")
    # Programs are copied by their sources' times: the same edit is the same program.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
