"""What a statement proves."""

from __future__ import annotations

import dataclasses
import datetime as dt

from hypothesis import assume, given
from hypothesis import strategies as st

from meshkit.money import CURRENCIES, Currency
from statements import output
from statements.statement import ClosingBalance, Line, Statement, Verdict, statement_of

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
units = st.integers(-(2**50), 2**50).filter(lambda value: value != 0)
moments = st.integers(0, 10**7).map(lambda seconds: START + dt.timedelta(seconds=seconds))
lines = st.lists(
    st.builds(
        Line,
        entry_id=st.integers(1, 2**63 - 1),
        transfer_id=st.uuids().map(str),
        minor_units=units,
        reference=st.text(max_size=140),
        create_time=moments,
    ),
    max_size=8,
)
currencies = st.sampled_from(sorted(CURRENCIES.values(), key=lambda currency: currency.code))


def closing_of(entries: list[Line]) -> ClosingBalance:
    """What a true ledger says."""
    return ClosingBalance(sum(entry.minor_units for entry in entries), len(entries))


def made(
    entries: list[Line],
    closing: ClosingBalance | None = None,
    *,
    settled: bool = True,
    since: dt.datetime | None = None,
    currency: Currency | None = None,
) -> Statement:
    """A statement of an account in euros, if not said otherwise."""
    return statement_of(
        "an-account",
        "MERCHANT",
        currency or Currency.parse("EUR"),
        entries,
        closing or closing_of(entries),
        settled=settled,
        since=since,
    )


@given(lines, st.none() | moments)
def test_a_true_ledger_adds_up_from_any_day(entries: list[Line], since: dt.datetime | None) -> None:
    """Opening balance and lines make the closing balance, wherever the statement begins."""
    statement = made(entries, since=since)
    assert statement.verdict is Verdict.ADDS_UP
    assert statement.opening_count + len(statement.lines) == len(entries)
    assert all(since is None or line.create_time >= since for line in statement.lines)


@given(lines, units, st.none() | moments)
def test_a_wrong_sum_does_not_add_up(
    entries: list[Line], error: int, since: dt.datetime | None
) -> None:
    """A balance that is off by anything is found out."""
    true = closing_of(entries)
    wrong = dataclasses.replace(true, minor_units=true.minor_units + error)
    assert made(entries, wrong, since=since).verdict is Verdict.DOES_NOT_ADD_UP


@given(lines, st.data())
def test_a_missing_entry_does_not_add_up(entries: list[Line], data: st.DataObject) -> None:
    """An entry that was not listed is found out, by its amount and by the number of entries."""
    assume(entries)
    index = data.draw(st.integers(0, len(entries) - 1))
    listed = entries[:index] + entries[index + 1 :]
    assert made(listed, closing_of(entries)).verdict is Verdict.DOES_NOT_ADD_UP
    same_sum = dataclasses.replace(closing_of(entries), entry_count=len(entries) + 1)
    assert made(entries, same_sum).verdict is Verdict.DOES_NOT_ADD_UP


@given(lines)
def test_what_moved_is_neither(entries: list[Line]) -> None:
    """A reading that transfers got into proves nothing, whatever the figures are."""
    assert made(entries, settled=False).verdict is Verdict.UNSETTLED
    assert not output.verified([made(entries), made(entries, settled=False)])


@given(lines, currencies)
def test_text_for_terminals(entries: list[Line], currency: Currency) -> None:
    """A statement prints one line for each entry, with nothing in it that a terminal acts on."""
    statement = made(entries, currency=currency)
    text = output.as_text("acme", START, [statement])
    assert len(text.split("\n")) == len(entries) + 7
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert "1 accounts: 1 add up, 0 do not, 0 could not be verified" in text


def test_amounts_have_their_currencys_digits() -> None:
    """1250 minor units are 12.50 euros, 1250 yen and 1.250 dinars."""
    line = Line(1, "a-transfer", 1250, "order 17", START)
    for code, shown in (("EUR", "EUR 12.50"), ("JPY", "JPY 1250"), ("KWD", "KWD 1.250")):
        statement = made([line], currency=Currency.parse(code))
        assert f" {shown}  adds up" in output.as_text("acme", START, [statement])
