"""`paymesh policy replay`, and how long a long log takes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paymesh import binaries
from paymesh.cli import main
from paymesh.errors import PaymeshError
from paymesh.mesh import repository_root
from paymesh.policy import approvals, candidate, replay

POLICIES = repository_root() / "policies"
GRANTS = "paymesh/grants/data.yaml"
REFUND = "/paymesh.payments.v1.PaymentsService/RefundPayment"
RECORDS = 50_000
# A million in 10 s is 100,000 a second; a machine that does other things besides has a quarter.
SLOWEST_PER_SECOND = 25_000
FEW = 1000


@pytest.fixture(scope="module")
def bundle(mesh_environment: dict[str, Any]) -> Iterator[Path]:
    """The checkout's policy, unpacked."""
    with candidate.unpacked(candidate.load(str(POLICIES), mesh_environment)) as directory:
        yield directory


@pytest.fixture(scope="module")
def sample(pdp: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A busy quarter of an hour: every record has ids, times and amounts of its own."""
    path = tmp_path_factory.mktemp("sample") / "decisions.jsonl"
    with path.open("wb") as file:
        subprocess.run(
            [pdp, "replay-sample", "--bundle", bundle, "--records", str(RECORDS)],
            stdout=file,
            check=True,
        )
    return path


@pytest.fixture
def log(sample: Path, tmp_path: Path) -> Path:
    """The beginning of the sample."""
    path = tmp_path / "log.jsonl"
    with sample.open("rb") as file:
        path.write_bytes(b"".join(next(file) for _ in range(2000)))
    return path


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A copy of the policies in which refunds are for auditors too, and links for nobody."""
    copy = tmp_path / "candidate"
    for name in ("paymesh", "system"):
        shutil.copytree(POLICIES / name, copy / name)
    conditions, grants = copy / "paymesh/authz/conditions.rego", copy / GRANTS
    text = conditions.read_text()
    before = '["user_is_operator"] := _role_reason({"operator"})'
    assert before in text
    after = '["user_is_operator"] := _role_reason({"operator", "auditor"})'
    conditions.write_text(text.replace(before, after))
    text = grants.read_text().replace("conditions: [user_is_known]", "conditions: [no_user]")
    grants.write_text(text)
    return copy


@pytest.fixture(autouse=True)
def _home(pdp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMESH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(binaries, "built", lambda *_: pdp)


def ask(*arguments: str | Path) -> Result:
    """The command's answer."""
    return CliRunner().invoke(main._app, ["policy", "replay", *map(str, arguments)])


def test_a_long_log_takes_few_evaluations_and_little_time(
    pdp: Path, bundle: Path, sample: Path
) -> None:
    """Records differ in all that the policy cannot tell apart, so few of them are evaluated."""
    assert sample.stat().st_size > RECORDS * 1500
    report = replay.run(pdp, bundle, [sample])
    assert (report.judged, report.unchanged, report.partial) == (RECORDS, RECORDS, 0)
    assert (report.skipped, report.cut) == ({}, ())
    assert report.distinct < FEW
    assert RECORDS / report.seconds > SLOWEST_PER_SECOND


def test_nothing_changes_by_the_working_tree(log: Path) -> None:
    """Without --against it is the checkout's own policy."""
    done = ask(log)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(
        "✔ all 2,000 decisions would be the same by the working tree (2,000 records, "
    )


def test_new_permissions_come_first(log: Path, edited: Path) -> None:
    """Then what is newly refused, each with caller, role, RPC, reasons and decision ids."""
    done = ask("--against", edited, log)
    assert done.exit_code == 0, done.output
    opened, refused = done.stdout.index("DENY → ALLOW"), done.stdout.index("ALLOW → DENY")
    assert opened < refused
    line = f"gateway as auditor → {REFUND}: USER_ROLE_MISSING → ALLOWED by operator-refund-payment"
    assert opened < done.stdout.index(line) < refused
    first = json.loads(ask("--against", edited, "-o", "json", log).stdout)["changes"][0]
    assert (first["kind"], first["roles"]) == ("deny_to_allow", ["auditor"])
    assert f"paymesh policy explain {first['examples'][0]}" in done.stdout
    records = [json.loads(line) for line in log.read_text().splitlines()]
    affected = [
        record["decision_id"]
        for record in records
        if record["rpc"] == REFUND and record["reason"] == "USER_ROLE_MISSING"
        if record["user"]["roles"] == ["auditor"]
    ]
    assert first["count"] == len(affected)
    assert first["examples"] == affected[:3]


def test_in_ci_only_approved_changes_pass(
    log: Path, edited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, and the lines that are missing; 0 when the change itself adds them."""
    monkeypatch.setattr(approvals, "added", lambda *_: approvals.Approvals(()))
    done = ask("--against", edited, "--ci", log)
    assert done.exit_code == 1
    line = f"{{change: allow, caller: gateway, rpc: {REFUND}, as: auditor, why: ..., by: ...}}"
    assert line in done.stdout
    assert done.stdout.index("change: deny") > 0
    unapproved = json.loads(ask("--against", edited, "--ci", "-o", "json", log).stdout)[
        "unapproved"
    ]
    words = {"deny_to_allow": "allow", "allow_to_deny": "deny"}
    added = tuple(
        approvals.Approval(
            change=words[change["kind"]],
            caller=change["caller"],
            rpc=change["rpc"],
            role="any",
            why="w",
            by="b",
        )
        for change in unapproved
    )
    monkeypatch.setattr(approvals, "added", lambda *_: approvals.Approvals(added))
    assert ask("--against", edited, "--ci", log).exit_code == 0


def test_what_is_not_judged_is_said(log: Path) -> None:
    """Cut lines, failures and masked records stand below the result."""
    lines = log.read_text().splitlines()
    failed = {**json.loads(lines[0]), "error": "timeout"}
    masked = json.loads(next(line for line in lines if "authz/decision" in line))
    masked["input"]["attributes"]["request"]["http"]["path"] = None
    log.write_text(
        "\n".join([*lines[:10], lines[11][:300], json.dumps(failed), json.dumps(masked)])
    )
    done = ask(log)
    assert done.exit_code == 0, done.output
    assert "‼ 1 record not judged: the policy failed" in done.stdout
    assert "‼ 1 record not judged: the log left out what the policy reads" in done.stdout
    assert f"{log}: a line of 300 bytes at " in done.stdout


def test_the_meshs_own_logs_are_found(log: Path, tmp_path: Path) -> None:
    """All workloads', rotated files too, in the time that is asked for."""
    lines = log.read_text().splitlines(keepends=True)
    for workload, name, part in (
        ("ledger", "decisions.jsonl", lines[:100]),
        ("ledger", "decisions.jsonl.20260302T080000Z", lines[100:300]),
        ("payments", "decisions.jsonl", lines[300:600]),
    ):
        directory = tmp_path / "home" / "run" / workload
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("".join(part))
    for options, count in (
        ((), 600),
        (("--workload", "ledger"), 300),
        (("--until", json.loads(lines[50])["time"]), 50),
        (("--since", "1h"), 0),
    ):
        done = ask(*options, "-o", "json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["judged"] == count


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--against", "--upload-pack=x", "{log}"), "neither a directory with policies nor a git"),
        (("--against", "{log}", "{log}"), "neither a directory with policies nor a git revision"),
        (("/nowhere",), "there is no decision log /nowhere"),
        (("--workload", "ledger", "{log}"), "leave it or the files out"),
        (("--workload", "ledger"), "no decisions of ledger are recorded"),
        (("--since", "yesterday", "{log}"), "is no time"),
    ],
)
def test_what_cannot_be_asked_is_said(arguments: tuple[str, ...], words: str, log: Path) -> None:
    """A sentence, and nothing is taken for an option that is none."""
    done = ask(*(argument.format(log=log) for argument in arguments))
    assert isinstance(done.exception, PaymeshError)
    assert words in str(done.exception)


def test_a_policy_that_does_not_compile_is_no_candidate(log: Path, edited: Path) -> None:
    """The compiler's own words, and no result."""
    rego = edited / "paymesh/authz/conditions.rego"
    rego.write_text(rego.read_text() + "\nodd if no_such_rule\n")
    done = ask("--against", edited, log)
    assert isinstance(done.exception, PaymeshError)
    assert "no_such_rule" in str(done.exception)


def test_a_revision_is_a_candidate(log: Path) -> None:
    """The policies of a commit, whatever the working tree holds."""
    done = ask("--against", "HEAD", "-o", "json", log)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["judged"] == 2000
