"""Connection strings are read without saying what is in them."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshkit import database, dsn, testing
from meshkit.config import ConfigError


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("host=db.example.internal port=5432 dbname=ledger user=ledger password=p@s/s", None),
        ("host=/run/postgresql user=ledger", "/run/postgresql"),
        ("host=a,b port=5432,5433 user=x", "a,b"),
        ("postgresql://u:p%40ss@[::1]:5432/db?sslmode=verify-full", "::1"),
    ],
)
def test_good_ones_are_read(text: str, host: str | None) -> None:
    """Also with several hosts, an address or a socket's directory."""
    assert dsn.settings(text)["host"] == (host or "db.example.internal")


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), min_size=6))
@example("pass word")
@example("pa@ss.word")
@example("hunter/2hunter")
@example("%zzhunter")
@example("hunter'")
def test_nothing_of_a_bad_one_is_said(password: str) -> None:
    """Whatever the password, in either form: it is read, or refused with the same words always."""
    said = set()
    for text in (f"host=h user=u password={password}", f"postgresql://u:{password}@h/db", password):
        try:
            dsn.settings(text)
        except dsn.DsnError as error:
            said.add(str(error))
    assert len(said) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "host=h password=a hunter2",
        "host=h password='hunter2",
        "postgresql://u:a@hunter2@h/db",
        "postgresql://u:hunter2/a@h/db",
        "postgresql://u:12/hunter2@h/db",
        "host=h port=hunter2",
    ],
)
def test_bad_ones_are_refused(text: str) -> None:
    """Before anything could connect, and without the text in a traceback."""
    with pytest.raises(dsn.DsnError) as raised:
        dsn.settings(text)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value, chain=True))


async def test_a_service_does_not_quote_its_own(tmp_path: Path) -> None:
    """It does not start, and says which variable is meant."""
    config = testing.app_config(tmp_path, dsn="host=h password=a hunter2")
    with pytest.raises(ConfigError, match="PAYMESH_DSN_FILE") as raised:
        await database.open_pool(config)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))
