"""Nothing that a workload, a caller or a policy says steers the terminal of who reads it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import rich.console

from paymesh.checks.model import Section
from paymesh.cli import check, lifecycle, output
from paymesh.cli.policy import explain, log, replay, replay_ci, shadow
from paymesh.policy import shadow_report
from paymesh.policy.engine import Place
from paymesh.policy.log.files import LogFile
from paymesh.policy.log.records import Damage, Entry, parse
from paymesh.policy.replay import Change, Cut, Outcome, Report
from paymesh.policy.unrecorded import Unrecorded
from paymesh.runtime.status import MeshStatus, ProcessStatus

# Clears the screen, sets the title, turns the writing round, reddens.
EVIL = "\x1b[2J\x9b31m\x1b]0;x\x07\u202e\x7f[red]"
HARMLESS = r"\u001b[2J\u009b31m\u001b]0;x\u0007\u202e\u007f[red]"


def _check() -> None:
    section = Section("policy")
    found = [section.problem(EVIL, f"{EVIL}\n{EVIL}", EVIL), section.warning("x", EVIL, EVIL)]
    check.report(iter(found), output.Format.TABLE)


def _status() -> None:
    process = ProcessStatus("ledger-pdp", last_exit=EVIL)
    lifecycle._print(MeshStatus("ready", None, True, 0.0, error=EVIL, processes=[process]))  # noqa: FBT003


def _change(kind: str) -> Change:
    side = Outcome(EVIL, EVIL)
    return Change(kind, EVIL, EVIL, EVIL, (EVIL,), side, side, 1, EVIL, EVIL, (EVIL,))


def _replay() -> None:
    changes = (_change("deny_to_allow"), _change("reason"))
    cut = Cut(EVIL, 0, 1, is_last=False)
    missing = [Unrecorded(Place("input", (EVIL,), is_whole=False), is_new=True)]
    report = Report(2, 2, 2, 0, {EVIL: 1}, 1, (EVIL,), changes, (cut,), 1, 0.1)
    replay._print(report, missing, EVIL)
    replay._warn(EVIL)
    replay_ci.show(replay_ci.Verdict(changes, (EVIL,), (EVIL,)), EVIL)


def _shadow() -> None:
    side = Outcome(EVIL, EVIL)
    one = shadow_report.Change("grant", EVIL, EVIL, EVIL, side, side, 1, EVIL, EVIL, (EVIL,))
    shadow._print([one])
    shadow._warn(EVIL)
    for line in shadow._behind([shadow_report.State("ledger", problem=EVIL)], None):
        shadow._warn(line)


def _log() -> None:
    file = LogFile("ledger", Path(f"/{EVIL}"), (0, 0), 0, None)
    log._Printer.damage(Damage(file, 0, 1, cut=False))
    stamp = "2026-11-21T10:15:30Z"
    line = json.dumps({"decision_id": EVIL, "time": stamp, "rpc": EVIL}, ensure_ascii=False)
    record = parse(line.encode())
    assert record is not None
    for form in output.Format:
        log._Printer(form).entries([Entry(0, file, line.encode(), record)])


def _explain() -> None:
    explain._show([f"{EVIL}\n{EVIL}"])


_COMMANDS: dict[str, Callable[[], object]] = {
    "check": _check,
    "status": _status,
    "logs": lambda: lifecycle._print_line("ledger-app", EVIL, 10, alone=True),
    "log": _log,
    "explain": _explain,
    "replay": _replay,
    "shadow": _shadow,
    "errors": lambda: output.fail(f"{EVIL}\n{EVIL}"),
    "JSON": lambda: output.print_json({EVIL: [EVIL]}),
}


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("command", _COMMANDS.values(), ids=_COMMANDS)
def test_foreign_text_is_shown_as_text(
    command: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Escapes, eight-bit ones too, and marks of direction as their numbers; markup as it is."""
    monkeypatch.setenv("PAYMESH_HOME", str(tmp_path))
    shown = io.BytesIO()
    terminal = _Terminal(shown, "utf-8", write_through=True)
    for module in (output, check, lifecycle, explain, log, replay, replay_ci, shadow):
        for name in ("console", "errors"):
            if hasattr(module, name):
                # Without colours, which are escapes too.
                plain = rich.console.Console(
                    file=terminal, force_terminal=True, color_system=None, width=1000
                )
                monkeypatch.setattr(module, name, plain)
    monkeypatch.setattr("sys.stdout", terminal)
    command()
    text = shown.getvalue().decode()
    assert HARMLESS in text
    assert not set(text) & set(EVIL) - set(HARMLESS)


def test_programs_get_json_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """What is escaped is the same text to whoever parses it, half a surrogate pair as well."""
    for text in ("Größe → x", EVIL, "\ud800", "\U000e0001"):
        output.print_json({"text": text})
        assert json.loads(capsys.readouterr().out) == {"text": text}
