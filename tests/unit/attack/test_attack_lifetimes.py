"""Lifetimes: what was seen must go with what is said, and positions come from the probed graph."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from paymesh.attack.lifetimes import doors, shortened
from paymesh.attack.lifetimes.attempts import CLOSED, REFUSED, UNANSWERED, Attempt, Try, carry_out
from paymesh.attack.lifetimes.measure import surely
from paymesh.attack.lifetimes.model import Lifetime, placed
from paymesh.attack.lifetimes.place import Place
from paymesh.attack.lifetimes.watch import Watch
from paymesh.attack.model import Cell, State, Target
from paymesh.mesh import load_mesh
from paymesh.paths import Paths

_END = 1000.0


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Place:
    (tmp_path / "log").mkdir()
    return Place("E", Paths(tmp_path, tmp_path), load_mesh())


@pytest.fixture(name="watch")
def _watch(place: Place) -> Watch:
    return Watch(place, "ledger", _END)


def _tries(**outcomes: str) -> list[Try]:
    """By seconds from the end: `before_2` is two before, `after_1` one after."""
    found = []
    for when, outcome in outcomes.items():
        side, _, seconds = when.partition("_")
        began = _END + float(seconds.replace("_", ".")) * (-1 if side == "before" else 1)
        found.append(Try(began, began + 0.01, f"{len(found):032x}", outcome))
    return sorted(found, key=lambda one: one.began)


def test_what_ends_in_time_contradicts_nothing(watch: Watch) -> None:
    """Accepted before its end and refused after is what is said of a credential."""
    watch.ends("it is", _tries(before_1="OK", before_0_1="OK", after_0_1=REFUSED, after_1="16"))
    assert watch.measured == ["it is accepted until 0.1 s before its end, refused from 0.1 s after"]
    assert watch.contradicted == []


@pytest.mark.parametrize(
    "outcomes",
    [
        {"before_1": "OK", "after_3": "OK", "after_4": REFUSED},
        {"before_4": "OK", "before_3": REFUSED, "after_1": REFUSED},
        {"before_1": "OK", "after_1": "OK"},
        {"before_1": REFUSED, "after_1": REFUSED},
        {},
    ],
)
def test_what_ends_late_or_early_or_never_is_told(watch: Watch, outcomes: dict[str, str]) -> None:
    """A credential that outlives its end, dies before it or never worked contradicts."""
    watch.ends("it is", _tries(**outcomes))
    assert len(watch.contradicted) == 1


def test_no_answer_is_no_refusal(watch: Watch) -> None:
    """A machine that is busy does not make a credential look shorter."""
    tries = _tries(before_4="OK", before_3=UNANSWERED, before_1="OK", after_1=REFUSED)
    watch.ends("it is", tries)
    assert watch.contradicted == []


def test_an_open_connection_has_to_be_seen_to_go_on(watch: Watch) -> None:
    """That a connection outlives its certificate is said only when it did."""
    watch.goes_on("it", _tries(before_1="OK", after_1="OK"))
    assert watch.contradicted == []
    watch.goes_on("it", _tries(before_1="OK", after_1=CLOSED))
    assert len(watch.contradicted) == 1


def test_a_connection_that_is_cut_off_keeps_its_bound(watch: Watch) -> None:
    """Neither longer nor much shorter than is said, and closed at its end."""
    tries = _tries(before_2="OK", after_3="OK", after_4=CLOSED)
    watch.cut_off("it", tries, after_seconds=5)
    assert watch.contradicted == []
    watch.cut_off("it", tries, after_seconds=2)
    watch.cut_off("it", tries, after_seconds=8)
    watch.cut_off("it", _tries(before_2="OK", after_3="OK"), after_seconds=5)
    assert len(watch.contradicted) == 3


def test_an_answer_without_execution_is_told(watch: Watch, place: Place) -> None:
    """What the app's own log says is compared with what the thief was told."""
    tries = _tries(before_1="OK", after_1=REFUSED)
    line = {"event": "call", "code": "OK", "trace_id": tries[0].trace_id}
    place.paths.log("ledger-app").write_text(json.dumps(line) + "\n")
    watch.executed([tries])
    assert watch.contradicted == []
    refused = {**line, "trace_id": tries[1].trace_id}
    place.paths.log("ledger-app").write_text(f"{json.dumps(line)}\n{json.dumps(refused)}\n")
    watch.executed([tries])
    assert watch.contradicted == ["1 calls were answered and 2 carried out"]


def test_positions_are_where_something_is_closed_without_it() -> None:
    """A credential works from where it makes a difference, in the order of the positions."""
    target, other = Target("ledger", "/x/Y"), Target("ledger", "/x/Z")
    graph = frozenset(
        {
            Cell(State("inside", "live:payments"), target),
            Cell(State("outside", credential="user:alice"), target),
            Cell(State("operator", credential="user:alice"), other),
            Cell(State("operator"), other),
        }
    )
    found = placed(
        [
            Lifetime("live", "a", "", 1),
            Lifetime("user", "b", "", 1),
            Lifetime("bundle", "c", "", 1),
        ],
        graph,
        ("outside", "inside", "operator"),
    )
    assert [one.works_from for one in found] == [("inside",), ("outside",), ()]


def test_the_connections_limits_are_the_files(place: Place) -> None:
    """What is stated of connections is what the workload's own Envoy was given."""
    root = Path(__file__).resolve().parents[3]
    directory = place.paths.workload("ledger")
    directory.mkdir(parents=True)
    text = (root / "envoy" / "ledger.yaml").read_text("utf-8")
    (directory / "envoy.yaml").write_text(text)
    assert shortened.limits(place, "ledger") == shortened.Limits(
        place.mesh.identity.max_connection_duration_seconds, 5
    )


def test_a_door_without_anybody_behind_it_is_shut(place: Place) -> None:
    """A door that cannot be reached is not taken for an open one, whatever its kind."""
    nowhere = str(place.paths.home)
    assert doors.tried(doors.Database(nowhere, 5432, "ledger", "x"))[0] == doors.SHUT
    assert doors.tried(doors.Http((place.mesh.address, 1), "GET", "/", "x"))[0] == doors.SHUT


def test_a_call_that_nobody_takes_is_refused_each_time(place: Place) -> None:
    """The thief's program ends in time and reports every try, where nobody listens at all."""
    attempt = Attempt(str(place.paths.home / "none.sock"), "x", "/x/Y", "", until=0)
    assert carry_out(attempt) == []
    attempt = place.attempt("ledger", "/x/Y", b"", until=time.time() + 0.2)
    assert {one.outcome for one in carry_out(attempt)} == {REFUSED}


@pytest.mark.parametrize("late", [0, 1, 2, 9])
def test_what_is_contradicted_is_measured_again_and_stays_if_it_holds(late: int) -> None:
    """A busy machine's delay passes; what is not so is not so at any time."""
    measured: list[bool] = []

    def work() -> list[Lifetime]:
        measured.append(len(measured) < late)
        words = ("too late",) if measured[-1] else ()
        return [Lifetime("token", "a token", "its end", 1, ("once",), words)]

    (found,) = surely(work)
    assert bool(found.contradicted) == (late == 9)
    assert len(measured) == min(late + 1, 3)
