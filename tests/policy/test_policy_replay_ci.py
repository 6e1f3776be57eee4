"""`paymesh policy replay --ci`: nothing passes that the change keeps from being judged."""

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


def test_a_change_that_keeps_a_decision_from_being_judged_does_not_pass(
    repository: Path, log: Path
) -> None:
    """It could be the one that changes; without --ci it is no more than a remark."""
    path = repository / "policies/paymesh/authz/grants.rego"
    text = path.read_text(encoding="utf-8")
    old = '_http.method == "POST"'
    assert old in text
    path.write_text(text.replace(old, old + '\n\tnot _http.headers["user-agent"] == "bad"'))
    done = _replay("--ci", log)
    assert done.exit_code == 1
    why = "records not judged that the policy of HEAD judges: the log left out what"
    assert why in done.output
    (sentence,) = json.loads(_replay("--ci", "-o", "json", log).stdout)["unjudged"]
    assert why in sentence
    assert _replay(log).exit_code == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without_path, "the log left out what the policy reads"),
        (_without_input, "1 record not judged: recorded without its input"),
    ],
)
def test_what_no_policy_could_judge_is_a_remark(
    log: Path, change: Callable[[dict[str, Any]], dict[str, Any]], why: str
) -> None:
    """Or whoever makes odd calls could keep every change from passing."""
    _change(log, change)
    done = _replay("--ci", log)
    assert done.exit_code == 0, done.output
    assert why in done.output


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
