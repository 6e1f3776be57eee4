"""`paymesh policy replay --ci`: nothing passes that was not judged."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paymesh import binaries
from paymesh.cli import main
from paymesh.policy import candidate

from . import matrices

RECORDS = 50


@pytest.fixture(scope="module")
def own_pdp() -> Path:
    """Our own program: the official one has no `replay`."""
    return matrices.own_pdp()


@pytest.fixture
def repository(checkout: Path, monkeypatch: pytest.MonkeyPatch, own_pdp: Path) -> Path:
    """A copy of the policies with a history of one revision, in the checkout's place."""
    matrices.commit(checkout)
    monkeypatch.setenv("PAYMESH_ROOT", str(checkout))
    monkeypatch.setenv("PAYMESH_HOME", str(checkout.parent / "home"))
    monkeypatch.setattr(binaries, "built", lambda *_: own_pdp)
    return checkout


@pytest.fixture
def log(repository: Path, own_pdp: Path, mesh_environment: dict[str, Any]) -> Path:
    """Decisions of calls, all of them by the policy of the checkout."""
    files = candidate.load(str(repository), mesh_environment)
    with candidate.unpacked(files) as bundle:
        done = subprocess.run(
            [own_pdp, "replay-sample", "--bundle", bundle, "--records", str(RECORDS)],
            capture_output=True,
            check=True,
        )
    path = repository.parent / "decisions.jsonl"
    path.write_bytes(done.stdout)
    return path


def _replay(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main._app, ["policy", "replay", *map(str, arguments)])


def _without_path(record: dict[str, Any]) -> dict[str, Any]:
    record["input"]["attributes"]["request"]["http"]["path"] = None
    return record


def _without_input(record: dict[str, Any]) -> dict[str, Any]:
    del record["input"]
    return record | {"input_omitted": "too large"}


def _change(log: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    index = next(
        i for i, one in enumerate(records) if one["policy_path"].endswith("authz/decision")
    )
    records[index] = change(records[index])
    log.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")


def test_a_judged_log_passes(log: Path) -> None:
    """Nothing is different, nothing left out."""
    done = _replay("--ci", log)
    assert done.exit_code == 0, done.output
    assert f"✔ all {RECORDS} decisions" in done.output


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without_path, "1 record not judged: the log left out what the policy reads"),
        (_without_input, "1 record not judged: recorded without its input"),
    ],
)
def test_one_decision_that_is_not_judged_does_not_pass(
    log: Path, change: Callable[[dict[str, Any]], dict[str, Any]], why: str
) -> None:
    """It could be the one that changes; without --ci it is no more than a remark."""
    _change(log, change)
    done = _replay("--ci", log)
    assert done.exit_code == 1
    assert why in done.output.partition("nothing passes that was not judged")[2]
    document = json.loads(_replay("--ci", "-o", "json", log).stdout)
    assert [sentence[: len(why)] for sentence in document["unjudged"]] == [why]
    assert _replay(log).exit_code == 0


def test_a_failure_or_a_cut_line_is_no_decision_to_judge(log: Path) -> None:
    """They are named, and no policy could answer them otherwise."""
    _change(log, lambda record: record | {"error": "timeout"})
    with log.open("a", encoding="utf-8") as file:
        file.write('{"decision_id": "x", "ti\n{"decision_id"')
    done = _replay("--ci", log)
    assert done.exit_code == 0, done.output
    assert "1 record not judged: the policy failed" in done.output
    assert "is cut off" in done.output


def test_no_decision_at_all_is_no_success(log: Path) -> None:
    """An empty log, or a time in which nothing happened, proves nothing."""
    log.write_text("", encoding="utf-8")
    done = _replay(log)
    assert done.exit_code == 0, done.output
    assert "✔" not in done.output
    assert "no decision was judged" in done.output
    done = _replay("--ci", log)
    assert done.exit_code == 1
    assert "name logs and a time that hold some" in done.output
