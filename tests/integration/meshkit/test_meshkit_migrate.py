"""Migrations as a program: on this machine by its supervisor, in a cluster by a Job."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from meshkit import database, migrate

SERVICES = ("payments", "ledger", "bank-link")
NOBODY = "host=/nowhere dbname=none user=none password=hunter2"


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """A directory with one migration."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    (directory / "0001_first.sql").write_text("CREATE TABLE first (id int)")
    return directory


def _run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meshkit.migrate", *arguments],
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_program_applies_a_directory(
    make_database: Callable[[str], Any], migrations: Path, tmp_path: Path
) -> None:
    """From a file and from standard input; again is no harm; each says what it did."""
    dsn = make_database("ledger").owner_dsn
    (tmp_path / "dsn").write_text(dsn + "\n")
    first = _run(str(migrations), "--dsn-file", str(tmp_path / "dsn"))
    assert (first.returncode, first.stdout) == (0, "applied 0001_first.sql\n"), first.stderr
    second = _run(str(migrations), "--dsn-file", "-", stdin=dsn + "\n")
    assert (second.returncode, second.stdout) == (0, "nothing to apply\n"), second.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_service_brings_its_own(make_database: Callable[[str], Any], service: str) -> None:
    """By name, the migrations that are packaged with a service are found and applied."""
    assert list(migrate.packaged(service).glob("0001_*.sql"))
    dsn = make_database(service.replace("-", "_")).owner_dsn
    done = _run("--service", service, "--dsn-file", "-", stdin=dsn)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("applied 0001_")


def test_failure_is_one_line_without_the_password(migrations: Path) -> None:
    """A database that is not there ends it with 1; the line names no secret."""
    done = _run(str(migrations), "--dsn-file", "-", stdin=NOBODY)
    assert done.returncode == 1
    assert done.stderr.startswith("OperationalError: ")
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "malformed",
    [
        "host=/nowhere password=begins hunter2",
        "host=/nowhere hunter2=begins",
        "postgresql://none:begins@hunter2@/none",
        "postgresql://none:hunter2/begins@nowhere/none",
        "hunter2",
    ],
)
def test_nothing_of_a_malformed_connection_string_is_said(migrations: Path, malformed: str) -> None:
    """The library would quote what it takes for an option or a host: a part of the password."""
    done = _run(str(migrations), "--dsn-file", "-", stdin=malformed)
    assert done.returncode == 1
    assert "does not begin with a connection string" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--dsn-file", "-"), "one of the arguments"),
        (("--service", "nobody-here", "--dsn-file", "-"), "There is no service 'nobody-here' here"),
        (("--service", "../ledger", "--dsn-file", "-"), "There is no service '../ledger' here"),
        (("--service", "ledger", "--dsn-file", "/nowhere/dsn"), "FileNotFoundError"),
        (("--service", "ledger", "--dsn-file", "-"), "does not begin with a connection string"),
        (("--service", "ledger", "--dsn-file", "-", "--wait-seconds", "-1"), "from 0 to 3600"),
    ],
)
def test_mistakes_are_named(arguments: tuple[str, ...], says: str) -> None:
    """What is asked for wrongly is said, and nothing is applied."""
    done = _run(*arguments)
    assert done.returncode != 0
    assert says in done.stderr


def test_it_waits_for_the_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """While the database cannot be reached it is tried again, and the reason is said once."""
    attempts = []

    def unreachable(dsn: str, _directory: Path) -> list[str]:
        attempts.append(dsn)
        if len(attempts) < 4:
            raise psycopg.OperationalError("connection refused")
        return ["0001_first.sql"]

    monkeypatch.setattr(database, "migrate", unreachable)
    monkeypatch.setattr(migrate, "_PAUSE_SECONDS", 0.01)
    assert migrate.apply("dsn", tmp_path, wait_seconds=5) == ["0001_first.sql"]
    assert capsys.readouterr().err == "waiting: OperationalError: connection refused\n"


def test_waiting_is_bounded_and_for_the_database_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrations: Path
) -> None:
    """When the time is over the failure stands; migrations that do not fit are not waited for."""
    monkeypatch.setattr(migrate, "_PAUSE_SECONDS", 0.01)
    with pytest.raises(psycopg.OperationalError):
        migrate.apply(NOBODY, migrations, wait_seconds=0.05)
    (tmp_path / "empty").mkdir()
    with pytest.raises(database.MigrationError, match="no migrations"):
        migrate.apply(NOBODY, tmp_path / "empty", wait_seconds=3600)
