"""Every decision is in the log before its answer is, and no secret is in any log."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from e2e.world import World
from paymesh import checks, dial
from paymesh.runtime import control, status

_CARD = "4242424242424242"
_RPC = "/paymesh.bank_link.v1.BankLinkService/ListLinks"


def _log(world: World, workload: str) -> Path:
    return world.paths.workload(workload) / "decisions.jsonl"


def _records(world: World, workload: str) -> list[dict]:
    return _parsed(_log(world, workload))[0]


def _parsed(path: Path) -> tuple[list[dict], int]:
    """The records of a log, and how many lines are none."""
    records, cut = [], 0
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            cut += 1
    return records, cut


def test_a_refused_caller_is_told_the_id_of_a_decision_that_is_on_record(world: World) -> None:
    """The decision id of a refusal stands in the callee's log, with caller, user and reason."""
    reply = world.as_user("audrey", "payments/CreatePayment", {})
    assert reply.reason == "USER_ROLE_MISSING"
    (record,) = [
        found for found in _records(world, "payments") if found["decision_id"] == reply.decision_id
    ]
    assert record["allowed"] is False
    assert record["reason"] == "USER_ROLE_MISSING"
    assert record["caller"] == "gateway"
    assert record["user"]["sub"] == "audrey"
    assert record["rpc"] == "/paymesh.payments.v1.PaymentsService/CreatePayment"
    assert re.fullmatch(r"\d{13}-[0-9a-f]{12}", record["revision"])


def test_an_allowed_call_is_on_record_with_its_grant(world: World) -> None:
    """A call that was carried out has a record that names the grant."""
    before = len(_records(world, "payments"))
    assert world.as_user("alice", "payments/ListPayments").ok
    added = _records(world, "payments")[before:]
    assert "user-list-payments" in {record.get("grant") for record in added}


def test_no_log_holds_a_token_a_key_or_a_card_number(world: World) -> None:
    """After calls with tokens, keys and card numbers in them, no log of any process has one."""
    account = world.account("EUR")
    for token, description in (
        (_CARD, "x"),
        ("tok_visa", _CARD),
        ("tok_visa", "4242 4242-4242 4242"),
    ):
        reply = world.as_user(
            "alice",
            "payments/CreatePayment",
            {
                "idempotency_key": uuid.uuid4().hex,
                "amount": {"currency_code": "EUR", "minor_units": "100"},
                "payment_method_token": token,
                "merchant_account_id": account,
                "description": description,
            },
        )
        assert reply.reason == "CARD_NUMBER_REFUSED"
    secrets = {
        path.read_text("utf-8").strip()
        for path in world.paths.secrets.rglob("*")
        if path.is_file() and path.suffix != ".crt" and path.stat().st_size < 4096
    }
    ((_, bearer),) = world.token("alice")
    assert jwt.decode(bearer.removeprefix("Bearer "), options={"verify_signature": False})
    world.as_user("alice", "payments/ListPayments")
    logs = [*world.paths.logs.glob("*.log"), *world.paths.run.glob("*/decisions.jsonl")]
    assert logs
    for log in logs:
        text = log.read_text("utf-8", errors="replace")
        digits = re.sub(r"[ -]", "", text)
        assert _CARD not in digits, log
        assert not re.search(r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}", text), log
        assert "PRIVATE KEY" not in text, log
        for secret in secrets:
            assert secret not in text, log


def test_no_process_has_a_secret_among_its_arguments(world: World) -> None:
    """No secret of the mesh stands in an argument list or a process's environment."""
    secrets = {
        path.read_text("utf-8").strip()
        for path in world.paths.secrets.glob("*")
        if path.is_file() and path.stat().st_size < 200
    }
    assert secrets
    found = status.read(world.paths)
    for process in found.processes:
        for kind in ("cmdline", "environ"):
            text = Path(f"/proc/{process.pid}/{kind}").read_bytes().decode(errors="replace")
            for secret in secrets:
                assert secret not in text, (process.name, kind)


@dataclasses.dataclass
class _Answers:
    """What callers of one service were told: request ids by outcome, decision ids of refusals."""

    passed: set[str] = dataclasses.field(default_factory=set)
    unrecorded: set[str] = dataclasses.field(default_factory=set)
    refused: set[str] = dataclasses.field(default_factory=set)
    failed: set[str] = dataclasses.field(default_factory=set)

    def ask(self, world: World, channel, user: str = "alice") -> str | None:
        """One call to bank-link as the gateway makes it; returns the reason of a refusal."""
        request_id = str(uuid.uuid4())
        metadata = (*world.token(user), ("x-request-id", request_id))
        reply = world.send(channel, "bank-link/ListLinks", {}, metadata=metadata)
        if reply.ok:
            self.passed.add(request_id)
        elif reply.reason == "DECISION_NOT_RECORDED":
            assert reply.code == "PERMISSION_DENIED"
            self.unrecorded.add(request_id)
        elif reply.decision_id:
            self.refused.add(reply.decision_id)
        else:
            assert reply.code == "UNAVAILABLE", reply
            self.failed.add(request_id)
        return reply.reason


def _request_ids(records: list[dict]) -> list[str]:
    """Of the calls that were let in."""
    return [
        record["input"]["attributes"]["request"]["http"]["headers"]["x-request-id"]
        for record in records
        if record["rpc"] == _RPC and record["allowed"]
    ]


def _unrecorded(world: World) -> checks.Finding | None:
    """What `paymesh check` says of a log of bank-link's that cannot be written."""
    context = checks.Context(world.paths, world.mesh, world.grants)
    name = "bank-link's decision point records what it decides"
    (found,) = [found for found in checks.SECTIONS["policy"](context) if found.name == name]
    return found if found.level is checks.Level.PROBLEM else None


def _system(program: str, *arguments: str | Path) -> None:
    subprocess.run([shutil.which(program) or program, *arguments], check=True, timeout=10)


@contextlib.contextmanager
def _small_disk(log: Path, kibibytes: int) -> Iterator[Path]:
    """Puts the log on a file system of its own, which it is alone on; yields where that is."""
    owner = log.stat()
    with tempfile.TemporaryDirectory() as disk:
        _system("mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", disk)
        try:
            file = Path(disk) / "decisions.jsonl"
            file.touch(0o600)
            os.chown(file, owner.st_uid, owner.st_gid)
            _system("mount", "--bind", file, log)
            try:
                yield Path(disk)
            finally:
                # Lazily, because the decision point has it open.
                _system("umount", "--lazy", log)
        finally:
            _system("umount", "--lazy", disk)


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own needs root")
def test_a_full_disk_refuses_is_named_and_ends_with_room(world: World) -> None:
    """While a workload's log is full its calls are refused and nothing runs, and check says why;
    once there is room calls pass without a restart, and the log has each that passed, once.
    """
    log, answers = _log(world, "bank-link"), _Answers()
    (process,) = [p for p in status.read(world.paths).processes if p.name == "bank-link-pdp"]
    with (
        dial.direct(world.mesh, "bank-link", world.svid("gateway")) as channel,
        _small_disk(log, 48) as disk,
    ):
        begun = world.executed("bank-link")
        world.until(
            lambda: answers.ask(world, channel) == "DECISION_NOT_RECORDED", "the disk is not full"
        )
        for _ in range(5):
            assert answers.ask(world, channel) == "DECISION_NOT_RECORDED"
        assert world.executed("bank-link") - begun == len(answers.passed) > 0
        said = _unrecorded(world)
        assert said is not None
        assert "no space left on device" in (said.problem or "")
        assert str(log.parent) in (said.mend or "")
        _system("mount", "-o", "remount,size=4m", disk)
        for _ in range(5):
            assert answers.ask(world, channel) is None
        assert _unrecorded(world) is None
        records, cut = _parsed(log)
    assert cut <= 1
    recorded = _request_ids(records)
    assert len(recorded) == len(set(recorded))
    assert set(recorded) == answers.passed
    (still,) = [p for p in status.read(world.paths).processes if p.name == "bank-link-pdp"]
    assert still.pid == process.pid
    # The gateway took the service out of rotation, for its health checks were refused too.
    world.until(lambda: world.as_user("alice", "bank-link/ListLinks").ok, "it is not back")


def _until_passed(world: World, answers: _Answers, count: int) -> None:
    world.until(lambda: len(answers.passed) > count, "calls do not pass")


def test_whatever_was_answered_is_on_record_after_a_kill(world: World) -> None:
    """A decision point is killed in the middle of its work: each call that was answered is on
    record, once, and at most the line that was being written is cut.
    """
    log, answers = _log(world, "bank-link"), _Answers()
    _, cut_before = _parsed(log)
    enough = threading.Event()
    begun = world.executed("bank-link")

    def load(user: str) -> None:
        with dial.direct(world.mesh, "bank-link", world.svid("gateway")) as channel:
            while not enough.is_set():
                answers.ask(world, channel, user)

    threads = [threading.Thread(target=load, args=(user,)) for user in ("alice", "audrey") * 3]
    for thread in threads:
        thread.start()
    try:
        for enough_passed in (30, 60, 90):
            _until_passed(world, answers, enough_passed)
            control.kill(world.paths, "bank-link-pdp")
            control.wait_ready(world.paths)
        _until_passed(world, answers, 120)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    executed = world.executed("bank-link") - begun
    records, cut = _parsed(log)
    recorded, decided = _request_ids(records), [record["decision_id"] for record in records]
    assert cut - cut_before <= 3
    assert len(decided) == len(set(decided))
    assert answers.refused <= set(decided)
    assert answers.passed <= set(recorded)
    assert executed <= len(
        [found for found in recorded if found in answers.passed | answers.failed]
    )
    assert answers.failed, "no call was under way"
