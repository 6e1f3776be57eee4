"""The reader agrees with the table that all readers of decision logs are held to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from paymesh.mesh import repository_root
from paymesh.policy.log import files
from unit.policy_log.policy_log_records import NOON, line, read, write

_TABLE: dict[str, Any] = json.loads(
    (repository_root() / "policies/pdp/jsonscan/testdata/decision_log.json").read_text("utf-8")
)
BEFORE, AFTER = (line(NOON, decision_id=name) for name in ("before", "after"))


@pytest.mark.parametrize("row", _TABLE["lines"], ids=lambda row: row["what"])
def test_a_line_is_a_record_or_damage_as_for_every_reader(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    """What is shipped and replayed of a damaged log is what people are shown of it."""
    text = re.sub(r"<(\d)>", lambda n: _TABLE["record"].replace("ID", n[1], 1), row["text"])
    write(tmp_path, "ledger", [BEFORE, text.encode(), AFTER])
    for backwards in (False, True):
        entries, damage = read(tmp_path, backwards=backwards)
        ids = {entry.record["decision_id"] for entry in entries}
        assert ids == {"before", *row["records"], "after"}
        assert bool(damage) == row["damaged"]


def test_a_rotated_file_has_the_names_that_every_reader_takes(tmp_path: Path) -> None:
    """Times of any fraction, the oldest first, and no other name."""
    for name in _TABLE["oldest_first"] + _TABLE["not_rotated"]:
        (tmp_path / name).touch()
    assert files.rotated_names(tmp_path) == _TABLE["oldest_first"]
