"""What a policy reads and nothing was asked about: a back door that no answer shows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paymesh import binaries
from paymesh.cli import main
from paymesh.policy import approvals, candidate, engine
from paymesh.policy.engine import Place
from paymesh.policy.matrix import plan, reading, source

from . import matrices

GRANTS = "policies/paymesh/authz/grants.rego"
DECISION = "policies/paymesh/authz/decision.rego"
OBJECTS = "policies/paymesh/objects/decision.rego"
MASK = "policies/paymesh/log/mask.rego"
VERDICT = '{"reason": caller_problem}'
DOOR = '{"reason": "ALLOWED", "grant": "backdoor"} if {\n\t%s\n} else := '
HTTP = "attributes.request.http"
HEADERS = f"input.{HTTP}.headers"
HEADER = 'input.attributes.request.http.headers["x-debug"] == "1"'
PLACE = "attributes.request.http.headers.x-debug"
LINE = f"approvals:\n  - {{change: reads, input: {PLACE}, why: Tried out., by: Ada}}\n"


@pytest.fixture(scope="module")
def own_pdp() -> Path:
    """Our own program: the official one has no `reads`."""
    return matrices.own_pdp()


@pytest.fixture
def repository(checkout: Path, monkeypatch: pytest.MonkeyPatch, own_pdp: Path) -> Path:
    """A copy of the policies with a history of one revision; asked of one RPC and one action."""
    matrices.commit(checkout)
    monkeypatch.setenv("PAYMESH_ROOT", str(checkout))
    monkeypatch.setenv("PAYMESH_HOME", str(checkout.parent / "home"))
    monkeypatch.setattr(binaries, "built", lambda *_: own_pdp)
    matrices.narrow(monkeypatch, matrices.ENTRIES, "links.use")
    return checkout


@pytest.fixture
def log(repository: Path, own_pdp: Path, mesh_environment: dict[str, Any]) -> Path:
    """A few decisions by the policy of the checkout as it was."""
    files = candidate.load("HEAD", mesh_environment, repository)
    with candidate.unpacked(files) as bundle:
        done = subprocess.run(
            [own_pdp, "replay-sample", "--bundle", bundle, "--records", "20"],
            capture_output=True,
            check=True,
        )
    path = repository.parent / "decisions.jsonl"
    path.write_bytes(done.stdout)
    return path


def _open(repository: Path, condition: str = HEADER) -> None:
    matrices.edit(repository, DECISION, VERDICT, DOOR % condition + VERDICT)


def _approve(repository: Path, text: str = LINE) -> None:
    matrices.edit(repository, str(approvals.FILE), "approvals: []\n", text)


def _policy(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main._app, ["policy", *map(str, arguments)])


def test_a_back_door_behind_a_header_is_seen(repository: Path) -> None:
    """No question has the header, so no answer differs: diff names what is read, and fails."""
    _open(repository)
    done = _policy("diff", "HEAD")
    assert done.exit_code == 1
    words = " ".join(done.output.split())
    assert f"data.paymesh.authz.decision reads {PLACE}, which no question asks about" in words
    assert "what it allows is not in this matrix" in words
    assert "✔" not in done.output
    assert f'{{change: reads, input: "{PLACE}", why: ..., by: ...}}' in done.output
    found = json.loads(_policy("diff", "HEAD", "-o", "json").stdout)
    assert (found["ok"], [one["input"] for one in found["unapproved_reads"]]) == (False, [PLACE])


def test_a_read_is_approved_by_its_own_line(repository: Path) -> None:
    """It passes and is still shown; from the next change on it is nothing new."""
    _open(repository)
    _approve(repository)
    done = _policy("diff", "HEAD")
    assert done.exit_code == 0, done.output
    assert "(approved)" in done.output
    matrices.commit(repository)
    edited = HEADER.replace('"1"', '"2"')
    matrices.edit(repository, DECISION, HEADER, edited)
    assert _policy("diff", "HEAD").exit_code == 0


def test_a_line_about_another_place_approves_nothing(repository: Path) -> None:
    """Also not about everything around it."""
    _open(repository)
    _approve(repository, LINE.replace(".x-debug", ""))
    assert _policy("diff", "HEAD").exit_code == 1


@pytest.mark.parametrize(
    ("condition", "place", "is_all"),
    [
        (f'some name, _ in {HEADERS}; name == "x-a"', f"{HTTP}.headers.*", False),
        (f"count({HEADERS}) == 7", f"{HTTP}.headers.*", False),
        (f'contains(json.marshal({HEADERS}), "x")', f"{HTTP}.headers", True),
        ('contains(json.marshal(input), "x-a")', "*", True),
        ('input.parsed_body.description == "open"', "parsed_body.description", False),
        ("input.attributes.source.address", "attributes.source.address", False),
        (f"io.jwt.decode(substring({HEADERS}.authorization, 7, -1))[1].x", "token:claims.x", False),
    ],
)
def test_whatever_nobody_asks_with_is_named(
    checkout: Path, own_pdp: Path, condition: str, place: str, *, is_all: bool
) -> None:
    """Members of any name, all of something, a field with a mere sample, a claim."""
    base = source.read(checkout, "base")
    _open(checkout, condition)
    head = source.read(checkout, "head")
    asked = matrices.only(plan.make(base, head), [matrices.CREATE])
    both = reading.reads(head, own_pdp), reading.reads(base, own_pdp)
    found = reading.unasked(asked, head, *both)
    assert (place, is_all) in {(one.place.name, one.is_all) for one in found}


def test_the_decision_on_objects_is_looked_at_too(repository: Path) -> None:
    """A fact that no service states in any question."""
    allowed = '{"allowed": true, "reason": "ALLOWED"} if {'
    door = f"{allowed}\n\tinput.object.secret == 1\n}} else := {allowed}"
    matrices.edit(repository, OBJECTS, allowed, door)
    done = _policy("diff", "HEAD")
    assert done.exit_code == 1
    assert "data.paymesh.objects.decision reads object.secret" in " ".join(done.output.split())


def test_what_the_questions_vary_is_no_news(repository: Path) -> None:
    """Another use of the path, the caller, a role, an amount or the entity needs no approval."""
    _open(
        repository,
        "startswith(input.attributes.request.http.path, input.attributes.source.principal)\n\t"
        'input.parsed_body.legalEntity == "x"\n\tinput.truncated_body == true\n\t'
        'input.attributes.request.http.headers["grpc-encoding"] == "never"',
    )
    found = json.loads(_policy("diff", "HEAD", "-o", "json").stdout)
    assert found["reads"] == []


def test_replay_says_what_no_record_holds(repository: Path, log: Path) -> None:
    """The mask leaves the header out: without --ci a warning, with it a failure until approved."""
    _open(repository)
    done = _policy("replay", log)
    assert done.exit_code == 0, done.output
    assert f"‼ the policy reads {PLACE}, which no record holds" in " ".join(done.output.split())
    assert "✔" not in done.output
    done = _policy("replay", "--ci", log)
    assert done.exit_code == 1
    assert "policies/paymesh/log/mask.rego" in done.output
    found = json.loads(_policy("replay", "--ci", "-o", "json", log).stdout)
    assert (found["unrecorded_reads"], found["unapproved_reads"]) == ([PLACE], [PLACE])
    _approve(repository)
    assert _policy("replay", "--ci", log).exit_code == 0


def test_what_the_mask_in_force_records_can_be_replayed(repository: Path, log: Path) -> None:
    """Listed in the mask and published first, the header is like any other."""
    matrices.edit(repository, MASK, '"x-request-id",\n', '"x-request-id",\n\t"x-debug",\n')
    _open(repository)
    assert _policy("replay", "--ci", log).exit_code == 1  # listed, but not when it was recorded
    matrices.edit(repository, DECISION, f"\t{HEADER}\n", "\tfalse\n")
    matrices.commit(repository)
    matrices.edit(repository, DECISION, "\tfalse\n", f"\t{HEADER}\n")
    done = _policy("replay", "--ci", log)
    assert done.exit_code == 0, done.output
    assert "which no record holds" not in done.output


@pytest.mark.parametrize(
    ("one", "other", "includes"),
    [
        (("a", "b"), ("a", "b"), True),
        (("a", "*"), ("a", "b"), True),
        (("a", "b"), ("a", "*"), False),
        (("a",), ("a", "b"), False),
        (("a", "b"), ("a",), False),
    ],
)
def test_a_place_includes_what_is_read_with_it(
    one: tuple[str, ...], other: tuple[str, ...], *, includes: bool
) -> None:
    """The same, or each member; read in full also what is below it, and never the other way."""
    partial, whole = Place("input", one, is_whole=False), Place("input", one, is_whole=True)
    assert partial.includes(Place("input", other, is_whole=False)) is includes
    assert not partial.includes(Place("input", other, is_whole=True))
    assert whole.includes(Place("input", (*one, "more"), is_whole=True))
    assert not whole.includes(Place("claims", one, is_whole=False))


def test_the_committed_policy_names_its_places(own_pdp: Path, checkout: Path) -> None:
    """Both decisions read something, and never all of it."""
    with candidate.unpacked(source.read(checkout, "head").files) as directory:
        found = engine.reads(own_pdp, directory)
    assert set(found) == {engine.AUTHZ, engine.OBJECTS}
    for places in found.values():
        assert places
        assert all(place.path for place in places)
