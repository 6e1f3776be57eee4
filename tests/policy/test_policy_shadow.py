"""Candidates beside the live policy: published, asked by real decision points, switched off."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from paymesh.cli.main import _app
from paymesh.errors import ConfigError, SetupError
from paymesh.mesh import Mesh
from paymesh.paths import Paths
from paymesh.policy import bundle, publisher, shadow, shadow_report
from paymesh.policy.names import SHADOW_KEY_ID
from paymesh.render.pdp import SHADOW_DIFFERENCES, SHADOW_STATE
from paymesh.runtime import pki

from . import live

pytestmark = pytest.mark.skipif(
    "PAYMESH_PDP" in os.environ, reason="OPA's own program has no shadow policies"
)

WAIT_SECONDS = 20.0
_REFUND = {
    "action": "payments.refund",
    "caller": "spiffe://paymesh.internal/ns/paymesh/sa/gateway",
    "user": {"sub": "carol", "tenant": "acme", "roles": ["auditor"]},
    "object": {"tenant": "acme"},
}
_OBJECTS = "/v1/data/paymesh/objects/decision"


@pytest.fixture
def place(settings: publisher.Settings) -> shadow.Place:
    """Beside the live policy, which is published."""
    asyncio.run(publisher.publish_once(settings))
    key = ec.generate_private_key(ec.SECP256R1())
    return shadow.Place(settings.directory, key, settings.key.public_key())


@pytest.fixture
def shadowing(pdp_config: dict[str, Any], place: shadow.Place) -> dict[str, Any]:
    """The decision point's configuration with both plugins; files in its directory."""
    return {
        **pdp_config,
        "decision_logs": {"plugin": "paymesh_decision_log"},
        "plugins": {
            "paymesh_decision_log": {"path": "decisions.jsonl", "revision_file": "revision"},
            "paymesh_shadow": {
                "service": "bundles",
                "resource": f"bundles/{shadow.FILE_NAME}",
                "key_id": SHADOW_KEY_ID,
                "key": live.public_pem(place.key),
                "differences": SHADOW_DIFFERENCES,
                "status": SHADOW_STATE,
            },
        },
    }


@dataclasses.dataclass(frozen=True)
class Shadowed:
    """A decision point that answers by the checkout's policy, and may have a candidate."""

    running: live.Pdp
    directory: Path
    place: shadow.Place
    program: Path

    def offer(self, policies: Path) -> shadow.Candidate:
        """Publishes a candidate for both packages."""
        return shadow.switch_on(self.place, self.program, str(policies), ())

    def state(self) -> dict[str, Any]:
        """What the decision point says about its candidate."""
        try:
            found: dict[str, Any] = json.loads((self.directory / SHADOW_STATE).read_text())
        except FileNotFoundError:
            return {"revision": "", "problem": None}
        return found

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The objects in a file of JSON lines."""
        text = (self.directory / name).read_text()
        return [json.loads(line) for line in text.splitlines()]

    def wait_for(self, candidate: shadow.Candidate) -> None:
        """Until it is in use."""
        _wait("candidate", lambda: self.state()["revision"] == candidate.revision)


@pytest.fixture
def shadowed(
    place: shadow.Place,
    shadowing: dict[str, Any],
    pdp: Path,
    start_pdp: live.StartPdp,
    tmp_path: Path,
) -> Shadowed:
    """Started, with the live policy."""
    running = start_pdp(shadowing)
    running.wait_for(live.UNGRANTED, "RPC_NOT_GRANTED", WAIT_SECONDS)
    return Shadowed(running, tmp_path, place, pdp)


@pytest.fixture
def loosened(checkout: Path, tmp_path: Path) -> Path:
    """A candidate's checkout: payments may ask for health, and auditors refund."""
    policies = tmp_path / "candidate"
    for source in (path for path in (checkout / "policies").rglob("*") if path.is_file()):
        target = policies / source.relative_to(checkout / "policies")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    grants = policies / "paymesh/grants/data.yaml"
    extra = (
        "grants:\n  - id: payments-health\n    caller: payments\n"
        f"    rpc: {live.HEALTH}\n    conditions: []\n    why: For this test.\n"
    )
    grants.write_text(grants.read_text().replace("grants:\n", extra, 1))
    decision = policies / "paymesh/objects/decision.rego"
    rule = '\n_allowed if {\n\tinput.action == "payments.refund"\n\t_user_has({"auditor"})\n}\n'
    decision.write_text(decision.read_text() + rule)
    return policies


def _wait(what: str, condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {what} within {WAIT_SECONDS} s")


def test_a_loosened_candidate_is_found_out_and_enforced_by_nobody(
    shadowed: Shadowed, loosened: Path
) -> None:
    """Both packages' new permissions are listed under the log's own ids; answers stay; and off
    it is asked nothing.
    """
    running = shadowed.running
    shadowed.wait_for(shadowed.offer(loosened))
    assert running.reason(live.UNGRANTED) == "RPC_NOT_GRANTED"
    assert running.reason(live.GRANTED) == "ALLOWED"
    assert running.ask(_OBJECTS, {"input": _REFUND})[1]["result"]["reason"] == "OBJECT_DENIED"
    _wait("evaluations", lambda: shadowed.state()["evaluated"] == 3)
    state = shadowed.state()
    assert (state["deny_to_allow"], state["allow_to_deny"], state["errors"]) == (2, 0, 0)
    by_path = {line["policy_path"]: line for line in shadowed.lines(SHADOW_DIFFERENCES)}
    assert by_path["paymesh/authz/decision"]["shadow"]["grant"] == "payments-health"
    assert by_path["paymesh/objects/decision"]["rpc"] == "payments.refund"
    recorded = {line["decision_id"]: line for line in shadowed.lines("decisions.jsonl")}
    for line in by_path.values():
        assert line["kind"] == "deny_to_allow"
        assert recorded[line["decision_id"]]["time"] == line["time"]
        assert recorded[line["decision_id"]]["allowed"] is line["live"]["allowed"] is False

    off = shadow.switch_off(shadowed.place)
    assert off is not None
    shadowed.wait_for(off)
    assert running.reason(live.UNGRANTED) == "RPC_NOT_GRANTED"
    assert len(shadowed.lines(SHADOW_DIFFERENCES)) == 2
    assert shadow.switch_off(shadowed.place) is None


def test_packages_are_switched_one_by_one(place: shadow.Place, loosened: Path, pdp: Path) -> None:
    """`on` sets or adds packages, `off` takes them out, each under a later revision."""
    with pytest.raises(ConfigError, match="--against"):
        shadow.switch_on(place, pdp, None, ())
    seen = [shadow.switch_on(place, pdp, str(loosened), ["objects"])]
    seen.append(shadow.switch_on(place, pdp, None, ["authz"]))
    less = shadow.switch_off(place, ["objects"])
    none = shadow.switch_off(place, ["authz"])
    assert less is not None
    assert none is not None
    seen += [less, none]
    assert [made.packages for made in seen] == [
        ("paymesh.objects",),
        ("paymesh.authz", "paymesh.objects"),
        ("paymesh.authz",),
        (),
    ]
    revisions = [made.revision for made in seen]
    assert sorted(set(revisions)) == revisions
    assert shadow.published(place) == none


def test_the_candidate_knows_the_live_mesh(place: shadow.Place, loosened: Path, pdp: Path) -> None:
    """Its environment is the live policy's, whatever its own directory says."""
    made = shadow.switch_on(place, pdp, str(loosened), ())
    live_bundle = bundle.published(place.directory, place.live_key)
    assert live_bundle is not None
    name = "paymesh/environment/data.json"
    assert made.files[name] == live_bundle.files[name]


def test_a_candidate_that_does_not_compile_is_not_published(
    place: shadow.Place, loosened: Path, pdp: Path
) -> None:
    """The compiler's words are the error; nothing is served."""
    path = loosened / "paymesh/authz/decision.rego"
    path.write_text(path.read_text() + "\nrule if {")
    with pytest.raises(SetupError, match="does not compile"):
        shadow.switch_on(place, pdp, str(loosened), ())
    assert shadow.published(place) is None


def test_a_shadow_bundle_is_no_policy_and_a_policy_no_shadow_bundle(
    shadowed: Shadowed, loosened: Path
) -> None:
    """Each is refused in the other's place, by the decision point and when it is read back;
    what was in force stays.
    """
    running, place = shadowed.running, shadowed.place
    candidate = shadowed.offer(loosened)
    shadowed.wait_for(candidate)
    as_policy, as_candidate = place.directory / bundle.FILE_NAME, place.directory / shadow.FILE_NAME
    policy, offered = as_policy.read_bytes(), as_candidate.read_bytes()
    before = running.log.read_text().count("failed to verify")

    as_policy.write_bytes(offered)
    running.wait_for_log("failed to verify", WAIT_SECONDS, count=before + 1)
    assert running.reason(live.UNGRANTED) == "RPC_NOT_GRANTED"
    assert bundle.published(place.directory, place.live_key) is None
    as_policy.write_bytes(policy)

    as_candidate.write_bytes(policy)
    _wait("problem", lambda: "verify" in (shadowed.state()["problem"] or {}).get("text", ""))
    assert shadowed.state()["revision"] == candidate.revision
    assert shadow.published(place) is None
    as_candidate.unlink()
    _wait("end of the candidate", lambda: not shadowed.state()["revision"])
    assert running.reason(live.UNGRANTED) == "RPC_NOT_GRANTED"


def test_a_candidate_cannot_reach_out(shadowed: Shadowed, loosened: Path) -> None:
    """One with http.send, which could carry users' tokens away, is refused by name."""
    path = loosened / "paymesh/authz/decision.rego"
    call = '\nsent := http.send({"method": "get", "url": "http://127.0.0.1:9/"})\n'
    path.write_text(path.read_text() + call)
    revision = shadowed.offer(loosened).revision

    def problem() -> str:
        found = shadowed.state()["problem"]
        return found["text"] if found and found["revision"] == revision else ""

    assert "http.send" in _wait("problem", problem)
    assert not shadowed.state()["revision"]


@pytest.fixture
def home(tmp_path: Path, mesh: Mesh) -> Paths:
    """Directories of workloads, empty."""
    paths = Paths(tmp_path / "home", tmp_path / "cache")
    for workload in mesh.services():
        paths.workload(workload.name).mkdir(parents=True)
    for directory in (paths.bundles, paths.bundle_signing_key.parent):
        directory.mkdir(parents=True)
    return paths


def _say(paths: Paths, workload: str, **more: Any) -> None:
    state = {
        "revision": "1700000000000-aaaaaaaaaaaa",
        "packages": ["paymesh.authz"],
        "since": "2026-11-21T12:00:00Z",
        "problem": None,
        "evaluated": 3,
        **more,
    }
    (paths.workload(workload) / SHADOW_STATE).write_text(json.dumps(state))


def test_waiting_names_who_is_behind_and_who_refuses(home: Paths, mesh: Mesh) -> None:
    """`on` ends when all have the revision, and else says whose decision point is the matter."""
    revision = "1700000000000-aaaaaaaaaaaa"
    names = [workload.name for workload in mesh.services()]
    for name in names[1:]:
        _say(home, name)
    with pytest.raises(SetupError, match=rf"{names[0]} have not taken it .*has not started"):
        shadow_report.wait(home, mesh, revision, 0.05)
    _say(home, names[0])
    shadow_report.wait(home, mesh, revision, 5)
    _say(home, names[0], revision="", problem={"revision": revision, "text": "rego_type_error"})
    with pytest.raises(SetupError, match=rf"{names[0]}'s .* rego_type_error"):
        shadow_report.wait(home, mesh, revision, 5)


def test_status_fits_a_narrow_terminal_and_names_what_is_behind(
    home: Paths, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New permissions are counted first; a decision point with another candidate is named."""
    monkeypatch.setenv("PAYMESH_HOME", str(home.home))
    keys = [pki.ensure_key(path) for path in (home.bundle_signing_key, home.shadow_signing_key)]
    files = {"paymesh/shadow/data.json": b'{"packages": ["paymesh.authz"]}'}
    made = bundle.build(files, "1700000000000-aaaaaaaaaaaa", keys[1], shadow.KEY_ID)
    bundle.publish(made, home.bundles, shadow.FILE_NAME)
    names = [workload.name for workload in mesh.services()]
    for name in names:
        _say(home, name, deny_to_allow=12345)
    _say(home, names[-1], revision="", problem={"revision": "", "text": "failed to verify"})
    done = CliRunner().invoke(_app, ["policy", "shadow", "status"], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "shadow policy 1700000000000-aaaaaaaaaaaa: paymesh.authz"
    assert lines[1].split()[:3] == ["WORKLOAD", "DENY→ALLOW", "ALLOW→DENY"]
    assert lines[2].split()[:3] == [names[0], "12345", "0"]
    assert lines[-2:] == [
        f"‼ {names[-1]}'s decision point asks no candidate",
        f"‼ {names[-1]}: failed to verify",
    ]
    found = json.loads(
        CliRunner().invoke(_app, ["policy", "shadow", "status", "-o", "json"]).output
    )
    assert [state["workload"] for state in found["workloads"]] == names


def _difference(number: int, kind: str, revision: str = "r2") -> str:
    """A line as a decision point writes it."""
    allowed = kind == "deny_to_allow"
    after = {"allowed": allowed, "reason": "A", "grant": "g", "revision": revision}
    common = {"caller": "payments", "rpc": "/a.B/C", "policy_path": "paymesh/authz/decision"}
    live_side = {"allowed": not allowed, "reason": "B", "grant": "", "revision": "r"}
    text = {"decision_id": f"d{number}", "time": f"2026-11-21T12:00:0{number}Z", "kind": kind}
    return json.dumps({**text, **common, "live": live_side, "shadow": after}) + "\n"


def test_differences_are_grouped_with_new_permissions_first(home: Paths, mesh: Mesh) -> None:
    """Groups over all decision points and the older file; cut lines and other candidates are
    passed over.
    """
    first, second = (home.workload(workload.name) for workload in mesh.services()[:2])
    (first / f"{SHADOW_DIFFERENCES}.1").write_text(_difference(1, "allow_to_deny") + '{"cut')
    (first / SHADOW_DIFFERENCES).write_text(
        _difference(2, "allow_to_deny") + _difference(3, "deny_to_allow", "r1")
    )
    (second / SHADOW_DIFFERENCES).write_text(
        _difference(4, "deny_to_allow") + _difference(5, "allow_to_deny") + "[]\n"
    )
    found = shadow_report.changes(home, mesh, None)
    assert [(c.kind, c.count, c.examples) for c in found] == [
        ("deny_to_allow", 1, ("d4",)),
        ("allow_to_deny", 3, ("d1", "d2", "d5")),
    ]
    assert (found[1].first[-3:], found[1].last[-3:]) == ("01Z", "05Z")
    assert [c.examples for c in shadow_report.changes(home, mesh, "r1")] == [("d3",)]


_ODD_STATES = {
    "cut": lambda path: path.write_text("{"),
    "a pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "huge": lambda path: path.write_text(json.dumps({"problem": None, "since": "x" * 100_000})),
    "deep": lambda path: path.write_text("[" * 50_000),
    "a word for a count": lambda path: path.write_text(
        json.dumps({"problem": None, "packages": [], "deny_to_allow": "\x1b[2J"})
    ),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", _ODD_STATES.values(), ids=_ODD_STATES)
def test_a_state_that_cannot_be_read_hides_no_other(
    home: Paths, mesh: Mesh, plant: Callable[[Path], object]
) -> None:
    """It is that workload's problem, and the counts of the others are known."""
    first, *others = [workload.name for workload in mesh.services()]
    for name in others:
        _say(home, name)
    plant(home.workload(first) / SHADOW_STATE)
    found = {state.workload: state for state in shadow_report.states(home, mesh)}
    assert found[first].problem
    assert found[first].evaluated == 0
    assert all(found[name].evaluated == 3 and not found[name].problem for name in others)


_ODD_LISTS = {
    "a pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "a directory": Path.mkdir,
    "one endless line": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", _ODD_LISTS.values(), ids=_ODD_LISTS)
def test_a_list_that_cannot_be_read_is_named_and_hides_no_other(
    home: Paths, mesh: Mesh, plant: Callable[[Path], object]
) -> None:
    """Nothing waits for it, follows it, or takes memory for what has no end."""
    first, second = (home.workload(workload.name) for workload in mesh.services()[:2])
    plant(first / SHADOW_DIFFERENCES)
    (second / SHADOW_DIFFERENCES).write_text(_difference(1, "deny_to_allow"))
    said: list[str] = []
    (found,) = shadow_report.changes(home, mesh, None, said.append)
    assert found.examples == ("d1",)
    assert [str(first / SHADOW_DIFFERENCES) in text for text in said] == [True]


@pytest.mark.parametrize("name", ["kind", "time", "decision_id", "policy_path", "caller", "rpc"])
def test_a_line_that_lacks_something_is_passed_over(home: Paths, mesh: Mesh, name: str) -> None:
    """Or has it in another form: the lines around it are read."""
    line = json.loads(_difference(1, "deny_to_allow"))
    odd = [{**line, name: 7}, {**line, "live": []}, {**line, "shadow": {"revision": "r2"}}]
    del line[name]
    path = home.workload(mesh.services()[0].name) / SHADOW_DIFFERENCES
    odd_lines = "".join(json.dumps(one) + "\n" for one in (line, *odd))
    path.write_text(odd_lines + _difference(2, "deny_to_allow"))
    (found,) = shadow_report.changes(home, mesh, None)
    assert found.examples == ("d2",)
