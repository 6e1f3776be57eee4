"""A started arm is probed and computed, and whatever does not agree fails, by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paymesh.attack.lifetimes.model import Lifetime
from paymesh.attack.model import Arm, Graph
from paymesh.attack.report import trying
from paymesh.errors import PaymeshError
from unit.attack.attack_graphs import BALANCE, MESH, NARROW, PAY, edge

_MORE = edge("inside/none/none", "ledger", BALANCE)
_LESS = edge("outside/none/user:alice", "payments", PAY)


class _Arm:
    """What an arm would show; tests change it. `stopped` says that it was taken away again."""

    def __init__(self) -> None:
        self.probed: Graph = NARROW
        self.computed: Graph = NARROW
        self.undeclared: list[str] = []
        self.missing: list[Any] = []
        self.wrong: list[str] = []
        self.contradicted: tuple[str, ...] = ()
        self.measured: list[Arm] = []
        self.stopped = False
        self.error: Exception | None = None

    @contextlib.contextmanager
    def running(self, arm: Arm, **_: object) -> Iterator[Any]:
        """In place of `arms.running`."""
        try:
            yield SimpleNamespace(arm=arm, root=Path("/nowhere"), mesh=MESH, paths=None)
        finally:
            self.stopped = True

    def probe(self, _stage: object, **_: object) -> Any:
        """In place of `probe`."""
        if self.error:
            raise self.error
        return SimpleNamespace(graph=self.probed, ways={_MORE: ("straight at the port",)})

    def measure(self, stage: Any) -> list[Lifetime]:
        """In place of `lifetimes.measure`."""
        self.measured.append(stage.arm)
        return [Lifetime("user", "a token", "its end", 900, contradicted=self.contradicted)]

    def load(self, *_: object) -> Any:
        """In place of `Inventory.load`."""
        return SimpleNamespace(
            undeclared=lambda *_: self.undeclared,
            missing=lambda *_: self.missing,
            wrong=lambda *_: self.wrong,
        )


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> _Arm:
    """An arm that needs no mesh."""
    found = _Arm()
    monkeypatch.setattr(trying, "running", found.running)
    monkeypatch.setattr(trying, "probe", found.probe)
    monkeypatch.setattr(trying, "measure", found.measure)
    monkeypatch.setattr(trying, "computed", lambda *_: found.computed)
    monkeypatch.setattr(trying, "Inventory", found)
    return found


def _attempt(arm: Arm = "E") -> Any:
    return trying.attempt(arm, Path("/nowhere"), lambda _: None)


def test_where_both_agree_there_is_no_problem(there: _Arm) -> None:
    """The probed graph is the arm's, M4 is measured in arm E alone, and the arm is stopped."""
    found = _attempt()
    assert (found.graph, found.problems) == (NARROW, ())
    assert found.lifetimes[0].works_from == ("outside", "inside")
    assert there.stopped
    assert _attempt("B").lifetimes == ()
    assert there.measured == ["E"]


def test_one_cell_that_only_the_probe_found_is_a_problem(there: _Arm) -> None:
    """It is named with the way in which it was made to execute."""
    there.probed = NARROW | {_MORE}
    (problem,) = _attempt("C").problems
    assert problem.startswith(f"arm C: probed and not computed: inside → ledger{BALANCE} executed")
    assert problem.endswith("by way of straight at the port")


def test_one_cell_that_only_was_computed_is_a_problem(there: _Arm) -> None:
    """A probe that finds less than there should be is as wrong as one that finds more."""
    there.probed = NARROW - {_LESS}
    assert _attempt("C").problems == (
        f"arm C: computed and not probed: outside as alice → payments{PAY}",
    )


def test_one_cell_flipped_in_the_computed_graph_is_a_problem(there: _Arm) -> None:
    """Either graph may be the wrong one; the cell is named."""
    there.computed = (NARROW - {_LESS}) | {_MORE}
    problems = _attempt().problems
    assert len(problems) == 2
    assert f"outside as alice → payments{PAY} executed" in problems[0]
    assert f"computed and not probed: inside → ledger{BALANCE}" in problems[1]


def test_where_the_inventory_and_what_runs_differ_is_a_problem(there: _Arm) -> None:
    """What listens without being declared, what is declared and does not, and another mode."""
    there.undeclared = ["tcp 127.0.0.1:18599, ledger-envoy"]
    there.missing = [SimpleNamespace(address="127.0.0.1:18502", process="ledger-envoy")]
    there.wrong = ["run/ledger has mode 0755"]
    problems = _attempt("A").problems
    assert [problem.partition(" of ")[0].partition(", ")[0] for problem in problems[:2]] == [
        "arm A: tcp 127.0.0.1:18599",
        "arm A: 127.0.0.1:18502",
    ]
    assert problems[2].startswith("arm A: run/ledger has mode 0755")


def test_a_lifetime_that_is_not_as_stated_is_a_problem(there: _Arm) -> None:
    """M4 was measured otherwise than is said: the command fails."""
    there.contradicted = ("it still works",)
    assert _attempt().problems == ("a token: it still works",)


def test_an_arm_is_stopped_when_its_probe_fails(there: _Arm) -> None:
    """An error goes up, after everything was taken away."""
    there.error = PaymeshError("no answer")
    with pytest.raises(PaymeshError, match="no answer"):
        _attempt()
    assert there.stopped
