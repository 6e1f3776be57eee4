"""`paymesh policy replay` against the truth: each call evaluated with its real token."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.mesh import Mesh, repository_root
from paymesh.policy import candidate, coverage, replay

from . import table, traffic

POLICIES = repository_root() / "policies"
TABLE = table.load()
RPCS = coverage.rpcs(POLICIES / "descriptors.binpb")
RANDOM_CALLS = 1600
ALL = 100_000


@dataclasses.dataclass(frozen=True)
class Edit:
    """One change of one file, as somebody would make it."""

    file: str
    before: str
    after: str


GRANTS, CONDITIONS = "paymesh/grants/data.yaml", "paymesh/authz/conditions.rego"
AMOUNTS, TOKEN = "paymesh/authz/amounts.rego", "paymesh/authz/token.rego"
OBJECTS = "paymesh/objects/decision.rego"
EDITS = {
    "a condition is dropped": Edit(
        GRANTS, "[user_is_customer, body_readable, amount_within", "[body_readable, amount_within"
    ),
    "a caller is widened": Edit(
        GRANTS, "id: statements-list-entries\n    caller: statements", "id: s\n    caller: payments"
    ),
    "a limit is raised": Edit(GRANTS, "user_payment: {EUR: 1000000", "user_payment: {EUR: 1000001"),
    "a limit is no longer included": Edit(
        AMOUNTS, "minor_units <= limits", "minor_units < limits"
    ),
    "a role is another": Edit(
        CONDITIONS, '["user_is_operator"] := _role_reason({"operator"})',
        '["user_is_operator"] := _role_reason({"auditor"})',
    ),
    "an end is not looked at": Edit(TOKEN, '"time": now_ns,', '"time": (now_ns * 0) + 1,'),
    "an end is looked at later": Edit(
        TOKEN, "claims := _claims_at(time.now_ns())", "claims := _claims_at(time.now_ns() - 1000)"
    ),
    "an audience is not looked at": Edit(TOKEN, "	claims.aud == _users.audience\n", ""),
    "an issuer is not looked at": Edit(TOKEN, '		"iss": _users.issuer,\n', ""),
    "a subject may be anything": Edit(
        TOKEN, "	regex.match(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$`, claims.sub)\n", ""
    ),
    "an algorithm is not looked at": Edit(TOKEN, '		"alg": "ES256",\n', ""),
    "a token's end is the reason no more": Edit(TOKEN, "	_expired\n}", "	false\n}"),
    "a tenant is not compared": Edit(
        CONDITIONS, "_body.legalEntity == user.tenant", "_body.legalEntity != user.tenant"
    ),
    "a truncated message is read": Edit(
        CONDITIONS, "	input.truncated_body == false\n", ""
    ),
    "compression is allowed": Edit(
        "paymesh/authz/grants.rego",
        'object.get(_http.headers, "grpc-encoding", "identity") == "identity"',
        "true",
    ),
    "an owner is not compared": Edit(
        OBJECTS, "	_same_tenant\n	_same_owner\n", "	_same_tenant\n"
    ),
    "an empty owner will do": Edit(OBJECTS, '	input.user.sub != ""\n', ""),
    "only in the first half of an hour": Edit(
        OBJECTS,
        "_no_user if input.user == null",
        "_no_user if {\n	input.user == null\n	time.clock(time.now_ns())[1] < 30\n}",
    ),
    "the newest tokens only": Edit(
        TOKEN,
        "	is_number(claims.iat)\n",
        "	claims.iat * 1000000000 > time.now_ns() - 200000000000\n",
    ),
    "no decision when refused": Edit(
        "paymesh/authz/decision.rego", '"reason": _verdict.reason,', '"reason": input.nothing,'
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Log:
    """Recorded calls, and where they stand."""

    calls: tuple[traffic.Call, ...]
    before: tuple[traffic.Decided, ...]
    files: tuple[Path, ...]


@pytest.fixture(scope="module")
def log(
    pdp: Path,
    mesh: Mesh,
    mesh_environment: dict[str, Any],
    issuer_key: ec.EllipticCurvePrivateKey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Log:
    """Every row of the table and many near misses, decided by the policy as it is."""
    scratch = tmp_path_factory.mktemp("log")
    issuer = traffic.Issuer(mesh, issuer_key, ec.generate_private_key(ec.SECP256R1()))
    calls = tuple(traffic.calls(mesh, issuer, TABLE, list(RPCS), seed=5, count=RANDOM_CALLS))
    with candidate.unpacked(candidate.load(str(POLICIES), mesh_environment)) as bundle:
        before = tuple(traffic.decide(pdp, bundle, scratch, calls))
    records = [json.dumps(traffic.record(*pair)) for pair in zip(calls, before, strict=True)]
    random.Random(1).shuffle(records)  # noqa: S311 — workers write at the same time
    files = []
    for part in range(3):
        files.append(scratch / f"{part}.jsonl")
        files[-1].write_text("".join(f"{line}\n" for line in records[part::3]))
    return Log(calls, before, tuple(files))


@pytest.fixture
def environments(tmp_path: Path, mesh_environment: dict[str, Any]) -> Path:
    """What the revision of the records knew of the mesh."""
    (tmp_path / f"{traffic.REVISION}.json").write_text(json.dumps(mesh_environment))
    return tmp_path


def edited(policies: Path, edits: Sequence[Edit]) -> None:
    """Makes the edits; each has to change something."""
    for edit in edits:
        path = policies / edit.file
        text = path.read_text()
        assert edit.before in text, edit
        path.write_text(text.replace(edit.before, edit.after, 1))


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A copy of policies/ to edit."""
    copy = tmp_path / "policies"
    for name in ("paymesh", "system"):
        shutil.copytree(POLICIES / name, copy / name)
    return copy


def found_by(report: replay.Report) -> dict[str, tuple[str, replay.Outcome]]:
    """Decision id → kind and what it would become."""
    found = {
        example: (change.kind, change.after)
        for change in report.changes
        for example in change.examples
    }
    assert len(found) == sum(change.count for change in report.changes)
    assert len(found) == report.judged - report.unchanged
    return found


def truth(
    log: Log, after: Sequence[traffic.Decided], unjudged: set[str]
) -> dict[str, tuple[str, replay.Outcome]]:
    """The same from the evaluation of each call."""
    return {
        call.id: (_kind(old, new), replay.Outcome(new.reason, new.grant))
        for call, old, new in zip(log.calls, log.before, after, strict=True)
        if old != new and call.id not in unjudged
    }


def _kind(old: traffic.Decided, new: traffic.Decided) -> str:
    if old.allowed != new.allowed:
        return replay.DENY_TO_ALLOW if new.allowed else replay.ALLOW_TO_DENY
    return replay.REASON if old.reason != new.reason else replay.GRANT


def holds_null(record: Any) -> bool:
    """Something that the policy reads was masked, or withheld of a token."""
    http = record["input"]["attributes"]["request"]["http"]
    body = record["input"]["parsed_body"] or {}
    read = (http["path"], body.get("amount"), body.get("legs"), body.get("legalEntity", ""),
            body.get("kind", ""))  # fmt: skip
    withheld = (record["token"] or {}).get("withheld")
    return "null" in json.dumps(read).replace('"amount": null', "") or bool(withheld)


def test_the_same_policy_changes_nothing(
    pdp: Path, log: Log, environments: Path, mesh_environment: dict[str, Any]
) -> None:
    """Every record is decided as it was, and what is not judged was masked."""
    with candidate.unpacked(candidate.load(str(POLICIES), mesh_environment)) as bundle:
        report = replay.run(pdp, bundle, log.files, environments=environments, examples=ALL)
    assert report.changes == ()
    assert report.records == len(log.calls) == report.judged + report.partial
    assert (report.skipped, report.cut, report.environment_missing) == ({}, (), 0)
    assert report.distinct < report.judged
    lines = [json.loads(line) for file in log.files for line in file.read_text().splitlines()]
    records = {line["decision_id"]: line for line in lines}
    assert all(holds_null(records[partial]) for partial in report.partial_examples)
    assert report.partial < len(log.calls) / 20


@pytest.mark.parametrize("name", EDITS)
def test_every_change_is_found_and_no_other(
    *,
    name: str,
    pdp: Path,
    log: Log,
    policies: Path,
    environments: Path,
    mesh_environment: dict[str, Any],
    tmp_path: Path,
) -> None:
    """To the last record: the same ids, the same new decisions, and nothing besides."""
    edited(policies, [EDITS[name]])
    with candidate.unpacked(candidate.load(str(policies), mesh_environment)) as bundle:
        report = replay.run(pdp, bundle, log.files, environments=environments, examples=ALL)
        after = traffic.decide(pdp, bundle, tmp_path, log.calls)
    expected = truth(log, after, set(report.partial_examples))
    assert found_by(report) == expected
    assert report.partial < len(log.calls) / 20
    # An edit that changes nothing would prove nothing.
    assert expected or name == "an algorithm is not looked at"
