"""`paymesh attack-paths` as a user meets it, with graphs made by hand."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from paymesh.attack.lifetimes.model import Lifetime
from paymesh.attack.model import ARMS, Arm, Graph
from paymesh.attack.report import committed, looking, markdown, remaining
from paymesh.attack.report.looking import Look
from paymesh.cli.main import _app
from paymesh.errors import ConfigError, PaymeshError
from paymesh.mesh import repository_root
from unit.attack.attack_graphs import BALANCE, MESH, NARROW, OPEN, edge

_READ = (
    "deploy/mesh.yaml",
    "policies/paymesh/grants/data.yaml",
    "policies/descriptors.binpb",
)
_STRANGE = edge("inside/none/none", "ledger", BALANCE)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(_app, ["attack-paths", *arguments])


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> dict[Arm, Graph]:
    """What each arm is found to have; tests change it."""
    found = _graphs()
    monkeypatch.setattr(looking, "compute", lambda arm, _root, _say: Look(arm, found[arm]))
    return found


def _graphs() -> dict[Arm, Graph]:
    return dict.fromkeys(ARMS, OPEN) | {"E": NARROW}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which these graphs are committed, each edge of E with a reason."""
    root = tmp_path_factory.mktemp("checkout")
    for name in _READ:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository_root() / name, root / name)
    (root / "docs").mkdir()
    for page in (committed.README, committed.PAGE):
        (root / page).write_text(f"words\n{markdown.BEGIN}\n{markdown.END}\n", encoding="utf-8")
    reasons = [
        {
            "position": [cell.state.position],
            "identity": [cell.state.identity],
            "credential": [cell.state.credential],
            "destination": [cell.target.destination],
            "method": [cell.target.method],
            "why": "It is so.",
        }
        for cell in sorted(NARROW)
    ]
    (root / "deploy" / "attack").mkdir()
    (root / remaining.FILE).write_text(yaml.safe_dump({"reasons": reasons}), encoding="utf-8")
    result, problems = looking.conclude(root, [Look(arm, of) for arm, of in _graphs().items()])
    assert problems == []
    assert len(committed.write(root, MESH, result)) == 4
    return root


@pytest.fixture
def root(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graphs: dict[Arm, Graph]
) -> Path:
    """A copy of it, for a test of its own."""
    del graphs  # the command finds them
    root = tmp_path / "checkout"
    shutil.copytree(original, root)
    monkeypatch.setenv("PAYMESH_ROOT", str(root))
    return root


def _problems(found: Result) -> str:
    """The sentences of a run that failed as it should."""
    assert isinstance(found.exception, PaymeshError), found.output
    return str(found.exception)


@pytest.mark.usefixtures("root")
def test_what_is_as_committed_passes_and_shows_the_table() -> None:
    """The table, no difference, and exit code 0; --check says the same."""
    for arguments in ((), ("--check",)):
        found = _run("--computed-only", *arguments)
        assert found.exit_code == 0, found.output
        assert f"M1 direct {len(OPEN)}" in " ".join(found.stdout.split())
        assert "nothing was started" in found.stdout


@pytest.mark.usefixtures("root")
def test_a_difference_names_the_new_and_the_vanished_edges(graphs: dict[Arm, Graph]) -> None:
    """Against the committed graphs exactly the edges that came and went are named."""
    gone = edge("payments/own/none", "ledger", "/paymesh.ledger.v1.LedgerService/PostTransfer")
    graphs["D"] = (OPEN - {gone}) | {edge("inside/none/none", "policy-key", "sign")}
    found = _run("--computed-only", "--diff", "committed")
    assert found.exit_code == 0, found.output
    lines = [line.strip() for line in found.stdout.splitlines()]
    assert "arm D: 1 new edges, 1 gone" in lines
    assert "arm E: 0 new edges, 0 gone" in lines
    assert [line for line in lines if line.startswith(("+", "-"))] == [
        "+ inside → policy-key/sign",
        "- payments with own → ledger/paymesh.ledger.v1.LedgerService/PostTransfer",
    ]


@pytest.mark.usefixtures("root")
def test_check_fails_on_another_graph_and_names_it(graphs: dict[Arm, Graph]) -> None:
    """One flipped cell fails --check, and the sentence has the arm and the cell."""
    graphs["B"] = OPEN - {_STRANGE}
    problems = _problems(_run("--computed-only", "--check"))
    assert "arm B: edges are not the committed ones:" in problems
    assert f"- inside → ledger{BALANCE}" in problems
    assert f"{committed.JSON} is stale" in problems
    partly = _problems(_run("--computed-only", "--check", "--arm", "B", "--arm", "A"))
    assert f"- inside → ledger{BALANCE}" in partly


@pytest.mark.parametrize("path", [committed.JSON, committed.PAGE, committed.README])
def test_check_fails_on_a_figure_that_somebody_wrote(root: Path, path: Path) -> None:
    """A count that was changed by hand in any of the committed files fails --check."""
    text = (root / path).read_text("utf-8")
    count = str(len(OPEN))
    assert count in text
    (root / path).write_text(text.replace(count, str(len(OPEN) + 1), 1), encoding="utf-8")
    assert f"{path} is stale" in _problems(_run("--computed-only", "--check"))


@pytest.mark.usefixtures("root")
def test_an_edge_without_a_reason_fails_the_command(graphs: dict[Arm, Graph]) -> None:
    """An edge of E that no reason is about is named; so is a reason that has lost its edge."""
    lost = edge("payments/own/none", "ledger", "/paymesh.ledger.v1.LedgerService/PostTransfer")
    graphs["E"] = (NARROW - {lost}) | {_STRANGE}
    problems = _problems(_run("--computed-only", "--arm", "E"))
    assert f"no reason in {remaining.FILE} for inside → ledger{BALANCE}" in problems
    assert "is the reason of no edge" in problems


def test_json_has_every_edge_and_problem(root: Path, graphs: dict[Arm, Graph]) -> None:
    """`-o json` is one document, also when something is wrong, and --diff reads it back."""
    graphs["E"] = NARROW | {_STRANGE}
    found = _run("--computed-only", "-o", "json")
    assert "no reason" in _problems(found)
    document = json.loads(found.stdout)
    assert document["ok"] is False
    assert len(document["problems"]) == 1
    (change,) = [one for one in document["changes"] if one["arm"] == "E"]
    assert (len(change["new"]), change["gone"]) == (1, [])
    (root / "before.json").write_text(found.stdout, encoding="utf-8")
    graphs["E"] = NARROW
    again = _run("--computed-only", "--diff", str(root / "before.json"))
    assert f"- inside → ledger{BALANCE}" in again.stdout


def test_the_picture_is_written_where_it_is_wanted(root: Path) -> None:
    """--picture writes the committed picture into another directory."""
    (root / "there").mkdir()
    found = _run("--computed-only", "--picture", str(root / "there"))
    assert found.exit_code == 0, found.output
    drawn = (root / "there" / committed.PICTURE.name).read_text("utf-8")
    assert drawn == (root / committed.PICTURE).read_text("utf-8")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--arm", "F"), "there is no arm 'F'"),
        (("--check", "--write"), "leave out one"),
        (("--write", "--computed-only"), "probed in all arms"),
        (("--write", "--arm", "A"), "probed in all arms"),
        (("--computed-only", "--picture", "/nowhere"), "no directory"),
        (("--computed-only", "--arm", "A", "--picture", "/"), "arms A and E"),
        (("--computed-only", "--diff", "/nowhere.json"), "is not there"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_starts(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong option is an error in one sentence, and no arm was looked at."""
    monkeypatch.setattr(looking, "compute", _never)
    found = _run(*arguments)
    assert isinstance(found.exception, ConfigError)
    assert said in str(found.exception)


@pytest.mark.usefixtures("root")
def test_without_root_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probing is root's; the sentence says so and what works without."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    sentence = _problems(_run())
    assert "root" in sentence
    assert "--computed-only" in sentence


def test_problems_of_an_arm_fail_the_command(
    root: Path, monkeypatch: pytest.MonkeyPatch, graphs: dict[Arm, Graph]
) -> None:
    """Whatever an arm reports is printed, and nothing is written."""
    before = (root / committed.JSON).read_text("utf-8")
    attempt = _attempts(graphs)
    monkeypatch.setattr("paymesh.attack.report.trying.attempt", attempt)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    graphs["A"] = NARROW
    assert "arm A: something listens" in _problems(_run("--write"))
    assert (root / committed.JSON).read_text("utf-8") == before


def test_what_is_measured_anew_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch, graphs: dict[Arm, Graph]
) -> None:
    """--write brings every committed file up to date, and a second time changes nothing, though
    other times were measured.
    """
    times = iter(["0.1 s", "0.2 s", "0.3 s"])

    def attempt(arm: Arm, _root: Path, _say: object) -> Look:
        if arm != "E":
            return Look(arm, graphs[arm])
        measured = Lifetime("user", "a token", "its end", 900, (next(times),))
        return Look(arm, graphs[arm], lifetimes=(measured,))

    monkeypatch.setattr("paymesh.attack.report.trying.attempt", attempt)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    graphs["D"] = OPEN - {_STRANGE}
    found = _run("--write")
    assert found.exit_code == 0, found.output
    assert found.stderr.count("wrote ") == 3  # the picture is of A and E
    assert '"0.1 s"' in (root / committed.JSON).read_text("utf-8")
    assert "wrote" not in _run("--write").stderr
    assert '"0.1 s"' in (root / committed.JSON).read_text("utf-8")
    assert _run("--check").exit_code == 0


def _attempts(graphs: dict[Arm, Graph]) -> Callable[..., Look]:
    def attempt(arm: Arm, _root: Path, _say: object) -> Look:
        problems = ("arm A: something listens",) if arm == "A" else ()
        return Look(arm, graphs[arm], problems)

    return attempt


def _never(*_: object) -> Look:
    raise AssertionError("an arm was looked at")
