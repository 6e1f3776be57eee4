"""`paymesh policy log` as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paymesh.cli.main import _app
from paymesh.errors import ConfigError
from paymesh.policy.log import files
from paymesh.policy.log.table import Layout
from unit.policy_log.policy_log_records import NOON, SECOND, line, read, write


@pytest.fixture
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The logs of a mesh that is down."""
    monkeypatch.setenv("PAYMESH_HOME", str(tmp_path))
    return tmp_path / "run"


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(_app, ["policy", "log", *arguments])


def _ledger(run: Path, count: int = 30) -> list[bytes]:
    written = [line(NOON + i * SECOND, decision_id=f"{i:08}") for i in range(count)]
    write(run, "ledger", written)
    return written


def test_the_last_twenty_are_shown(run_directory: Path) -> None:
    """Like `tail`, in order, under a header and the day."""
    _ledger(run_directory)
    shown = _run().stdout.splitlines()
    assert " ".join(shown[0].split()) == "TIME (UTC) CALL USER REASON OR GRANT DECISION"
    assert "2026-11-21" in shown[1]
    assert [text.split()[-1] for text in shown[2:]] == [f"{i:08}" for i in range(10, 30)]


@pytest.mark.parametrize(
    ("arguments", "first", "last"),
    [
        (["-n", "3"], 27, 29),
        (["-n", "0"], 0, 29),
        (["--since", "2026-11-21T10:15:35Z"], 5, 29),
        (["--since", "2026-11-21T10:15:35Z", "-n", "2"], 28, 29),
        (["--until", "2026-11-21T10:15:35Z"], 0, 4),
        (["--since", "2026-11-21T10:15:33Z", "--until", "2026-11-21T10:15:35Z"], 3, 4),
    ],
)
def test_json_is_the_records_own_lines(
    run_directory: Path, arguments: list[str], first: int, last: int
) -> None:
    """Not one byte of a record is changed."""
    written = _ledger(run_directory)
    result = _run("-o", "json", *arguments)
    assert result.exit_code == 0
    assert result.stdout_bytes.splitlines() == written[first : last + 1]


def test_a_row_has_what_happened_in_a_hundred_characters(run_directory: Path) -> None:
    """Time, answer, who asked whom for what, for whom, why, and the id to ask about."""
    write(
        run_directory,
        "ledger",
        [
            line(decision_id="0123456789"),
            line(
                caller="statements",
                rpc="/paymesh.ledger.v1.LedgerService/ListBalances",
                user=None,
                token=None,
                allowed=True,
                grant="statements-list-balances",
            ),
        ],
    )
    entries, _ = read(run_directory)
    layout = Layout.of(100)
    rows = [layout.line(entry) for entry in entries]
    refused, allowed = ("".join(text for text, _ in row) for row in rows)
    assert " ".join(refused.split()) == (
        "10:15:30.000 ✗ gateway → ledger/RefundPayment alice customer USER_ROLE_MISSING 01234567"
    )
    assert " ".join(allowed.split()[:-1]) == (
        "10:15:30.000 ✔ statements → ledger/ListBalances statements-list-balances"
    )
    assert len(refused) == len(allowed) == 100
    assert len(layout.header()) <= 100


def test_what_a_caller_sends_cannot_steer_a_terminal(run_directory: Path) -> None:
    """Escape sequences and right-to-left marks of a refused request's path are shown as text."""
    write(run_directory, "ledger", [line(rpc="/x/\x1b[2J\u202e\n", caller="\x07")])
    shown = _run().stdout
    assert "\\u001b[2J\\u202e\\u000a" in shown
    assert not set(shown) & set("\x1b\u202e\x07")


def test_a_cut_record_is_named_on_standard_error(run_directory: Path) -> None:
    """The records stay on standard output alone."""
    path = run_directory / "ledger" / files.NAME
    whole = write(run_directory, "ledger", [line()]).read_bytes()
    path.write_bytes(whole + whole[:60])
    result = _run("-o", "json")
    assert result.stdout_bytes == whole
    assert f"a record was cut in {path} at byte {len(whole)} (60 bytes)" in result.stderr


def test_many_damaged_places_are_counted(run_directory: Path) -> None:
    """A ruined file does not fill the screen."""
    write(run_directory, "ledger", [b"odd"] * 30)
    assert "and 25 more places" in _run().stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--caller", "nobody"], "`paymesh policy log` shows the last ones"),
        (["--since", "1s"], "an earlier --since"),
    ],
)
def test_nothing_found_comes_with_a_hint(
    run_directory: Path, arguments: list[str], hint: str
) -> None:
    """Standard output stays empty, and the sentence says what to try."""
    _ledger(run_directory)
    result = _run(*arguments)
    assert (result.exit_code, result.stdout) == (0, "")
    assert hint in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--workload", "legder"], "did you mean ledger"),
        (["--reason", "ROLE_MISSING"], "did you mean USER_ROLE_MISSING"),
        (["--reason", "DECISION_NOT_RECORDE"], "did you mean DECISION_NOT_RECORDED"),
        (["--since", "yesterday"], "is no time"),
    ],
)
def test_a_word_that_is_none_is_refused(
    run_directory: Path, arguments: list[str], sentence: str
) -> None:
    """Nothing is searched for in vain."""
    _ledger(run_directory)
    assert sentence in str(_run(*arguments).exception)


def test_a_home_without_a_mesh_says_so() -> None:
    """Nothing was ever decided there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAYMESH_HOME", "/nonexistent")
        result = _run()
    assert isinstance(result.exception, ConfigError)
    assert "paymesh up" in str(result.exception)


def test_following_has_no_end(run_directory: Path) -> None:
    """--until beside --follow is wrong usage."""
    _ledger(run_directory)
    assert _run("--follow", "--until", "1m").exit_code == 2


def test_following_shows_what_comes_until_it_is_interrupted(run_directory: Path) -> None:
    """The last ones, then new ones as they are written; Ctrl-C ends it with 130 and no noise."""
    _ledger(run_directory, 3)
    # A shell has what it starts in the background, these tests perhaps, ignore Ctrl-C.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from paymesh.cli.main import app; app()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "policy", "log", "-f", "-n", "1", "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PAYMESH_HOME": str(run_directory.parent)},
        text=True,
    ) as process:
        assert json.loads(process.stdout.readline())["decision_id"] == "00000002"
        with (run_directory / "ledger" / files.NAME).open("ab") as log:
            log.write(line(decision_id="new") + b"\n")
        assert json.loads(process.stdout.readline())["decision_id"] == "new"
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in complaints
