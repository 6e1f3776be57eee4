"""docs/threats.md: threat → control → file → test, held to what is there."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from paymesh.mesh import repository_root

ROOT = repository_root()
PAGE = ROOT / "docs" / "threats.md"
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+)(?:#[^)]*)?\)")
# How a test is defined, by the kind of file.
_DEFINITIONS = {
    ".py": r"^(?:async )?def {}\(",
    ".go": r"^func {}\(",
    ".rego": r"^{} if ",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table; links as (text, target)."""

    threat: str
    control: str
    files: list[tuple[str, str]]
    tests: list[tuple[str, str]]


def _rows() -> list[Row]:
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| ") or cells[0] == "threat":
            continue
        assert len(cells) == 4, line
        found.append(Row(cells[0], cells[1], _LINK.findall(cells[2]), _LINK.findall(cells[3])))
    return found


ROWS = _rows()


def _defines(path: Path, name: str) -> bool:
    definition = _DEFINITIONS[path.suffix].format(re.escape(name))
    return re.search(definition, path.read_text("utf-8"), re.MULTILINE) is not None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.threat[:60])
def test_a_threat_has_a_control_a_file_and_a_test_that_exist(row: Row) -> None:
    """Each row names a control, links files that are there and tests by the names they have."""
    assert row.control
    assert row.files
    assert row.tests
    for _, target in row.files:
        assert (PAGE.parent / target).exists(), target
    for name, target in row.tests:
        path = PAGE.parent / target
        assert path.is_file(), target
        assert _defines(path, name), f"{target} has no {name}"


def test_the_page_is_about_something() -> None:
    """A page that could not be parsed would prove nothing."""
    assert len(ROWS) >= 25
    assert len({row.threat for row in ROWS}) == len(ROWS)


def test_a_test_that_is_gone_is_noticed(tmp_path: Path) -> None:
    """A name that a file only mentions, or begins with, is not a test in it."""
    path = tmp_path / "test_x.py"
    path.write_text("def test_whole_name() -> None:\n    '''Not test_mentioned.'''\n")
    assert _defines(path, "test_whole_name")
    assert not _defines(path, "test_whole")
    assert not _defines(path, "test_mentioned")
