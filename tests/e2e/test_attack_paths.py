"""`paymesh attack-paths`, all of it: what is committed is what was measured just now."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from e2e.recipe import paymesh
from paymesh.attack.metrics import NOBODY, SOMEBODY
from paymesh.attack.model import ARMS, OUTSIDE, Arm, Graph
from paymesh.attack.report import committed, document, looking
from paymesh.attack.report.looking import Look
from paymesh.attack.report.result import Result
from paymesh.mesh import load_mesh, repository_root

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an arm"),
    pytest.mark.timeout(500),
]
_ROOT = repository_root()


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """What a run over all arms says of this checkout, and whether it is as committed."""
    done = paymesh(_ROOT, "attack-paths", "--check", "-o", "json", timeout_seconds=450)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def result(measured: dict[str, Any]) -> Result:
    """The same, for what is compared with files of a test's own."""
    graphs = document.parse(json.dumps(measured), "the run's").graphs
    result, problems = looking.conclude(_ROOT, [Look(arm, graphs[arm]) for arm in ARMS])
    assert problems == []
    return dataclasses.replace(result, lifetimes=committed.lifetimes(measured))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The committed files, to be changed."""
    for path in (committed.JSON, committed.PICTURE, committed.PAGE, committed.README):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_ROOT / path, tmp_path / path)
    return tmp_path


def test_the_committed_figures_are_the_measured_ones(measured: dict[str, Any]) -> None:
    """Each count, edge and reason in git is what came out, every cell probed and computed alike."""
    whole = json.loads((_ROOT / committed.JSON).read_text("utf-8"))
    assert measured["ok"]
    assert measured["problems"] == []
    for part in ("arms", "cells", "table", "by_start", "identities", "users", "edges", "remaining"):
        assert measured[part] == whole[part], part
    for row in whole["table"]:
        if not row["part_of_m3"]:
            for page in (committed.README, committed.PAGE):
                (line,) = [
                    line
                    for line in (_ROOT / page).read_text("utf-8").splitlines()
                    if line.startswith(f"| **{row['name']}** |")
                ]
                for count in row["counts"].values():
                    assert f" {count} " in line, (page, line)


def test_each_arm_has_no_more_than_the_one_before(measured: dict[str, Any]) -> None:
    """Every part of the mesh only takes edges away, and each takes some."""
    graphs = document.parse(json.dumps(measured), "the run's").graphs
    for before, after in itertools.pairwise(ARMS):
        assert graphs[after] < graphs[before], after


def test_nobody_gets_at_the_keys(measured: dict[str, Any]) -> None:
    """From no state of any arm can a policy or a token be signed, an SVID be minted, the
    supervisor be ordered about, or another's SVID be had.
    """
    graphs = document.parse(json.dumps(measured), "the run's").graphs
    for graph in graphs.values():
        for cell in graph:
            assert cell.target.method not in {"sign", "mint", "control"}, cell
            if cell.target.destination == "spire-agent":
                assert cell.target.method == f"svid:{cell.state.position}", cell


def test_what_the_page_says_of_the_figures_is_so(measured: dict[str, Any]) -> None:
    """Outside nothing goes without a token, in any arm; with one M2 is the same in all of them."""
    graphs = document.parse(json.dumps(measured), "the run's").graphs
    for graph in graphs.values():
        assert all(cell.state.user for cell in graph if cell.state.position == OUTSIDE)
    rows = {row["name"]: row["counts"] for row in measured["by_start"]}
    assert len(set(rows[f"M2 {SOMEBODY}"].values())) == 1
    assert rows[f"M2 {NOBODY}"]["E"] < rows[f"M2 {NOBODY}"]["A"] / 2
    assert not [
        row for row in measured["table"] if "not" not in row["62_percent"] and not row["part_of_m3"]
    ]


def test_what_is_committed_is_not_stale(copy: Path, result: Result) -> None:
    """The comparison that the next test makes fail."""
    assert committed.stale(copy, load_mesh(_ROOT), result) == []


@pytest.mark.parametrize("path", [committed.JSON, committed.PAGE, committed.README])
def test_a_committed_figure_that_is_wrong_fails(copy: Path, result: Result, path: Path) -> None:
    """One count of one arm, one higher than measured, is named with its file."""
    text = (copy / path).read_text("utf-8")
    count = str(result.figures["E"].direct)
    assert count in text
    (copy / path).write_text(text.replace(count, str(int(count) + 1), 1), encoding="utf-8")
    (said,) = committed.stale(copy, load_mesh(_ROOT), result)
    assert said.startswith(f"{path} is stale")


@pytest.mark.parametrize("arm", ARMS)
def test_a_cell_that_is_flipped_fails(copy: Path, result: Result, arm: Arm) -> None:
    """An edge that is committed and was not measured is named, whatever the arm."""
    gone = min(result.graphs[arm])
    graphs: dict[Arm, Graph] = {**result.graphs, arm: result.graphs[arm] - {gone}}
    said = committed.stale(copy, load_mesh(_ROOT), dataclasses.replace(result, graphs=graphs))[0]
    assert said.startswith(f"arm {arm}: ")
    assert str(gone.target) in said
    assert "\n  - " in said
    assert "\n  + " not in said
