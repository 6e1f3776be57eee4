"""Statements for people and, as JSON, for programs."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from meshkit.money import Money
from statements.statement import Statement, Verdict


def as_text(legal_entity: str, moment: dt.datetime, statements: Sequence[Statement]) -> str:
    """Lines for a terminal."""
    lines = [f"Statements of {legal_entity}, {_time(moment)}"]
    for statement in statements:
        lines += ["", *_account_lines(statement)]
    lines += ["", _conclusion(statements)]
    return "\n".join(lines)


def as_json(legal_entity: str, moment: dt.datetime, statements: Sequence[Statement]) -> str:
    """One line: `legal_entity`, `time`, `verified` and `accounts`; amounts in minor units."""
    document = {
        "legal_entity": legal_entity,
        "time": _time(moment),
        "verified": verified(statements),
        "accounts": [_account(statement) for statement in statements],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def verified(statements: Sequence[Statement]) -> bool:
    """Whether every account adds up."""
    return all(statement.verdict is Verdict.ADDS_UP for statement in statements)


def _account_lines(statement: Statement) -> Iterator[str]:
    def amount(minor_units: int) -> str:
        return f"{Money(statement.currency, minor_units)!s:>20}"

    yield f"Account {statement.account_id}, {statement.kind.lower()}"
    yield f"  {'opening balance':<64} {amount(statement.opening_minor_units)}"
    for line in statement.lines:
        when = f"{_time(line.create_time)}  {line.transfer_id}"
        yield f"  {when:<64} {amount(line.minor_units)}  {_printable(line.reference)}".rstrip()
    closing = f"closing balance of {statement.closing.entry_count} entries"
    yield f"  {closing:<64} {amount(statement.closing.minor_units)}  {statement.verdict.value}"


def _conclusion(statements: Sequence[Statement]) -> str:
    verdicts = Counter(statement.verdict for statement in statements)
    return (
        f"{len(statements)} accounts: {verdicts[Verdict.ADDS_UP]} add up, "
        f"{verdicts[Verdict.DOES_NOT_ADD_UP]} do not, "
        f"{verdicts[Verdict.UNSETTLED]} could not be verified"
    )


def _account(statement: Statement) -> dict[str, Any]:
    return {
        "account_id": statement.account_id,
        "kind": statement.kind,
        "currency_code": statement.currency.code,
        "opening_minor_units": statement.opening_minor_units,
        "entries": [
            {
                "entry_id": line.entry_id,
                "transfer_id": line.transfer_id,
                "minor_units": line.minor_units,
                "reference": line.reference,
                "create_time": _time(line.create_time),
            }
            for line in statement.lines
        ],
        "closing_minor_units": statement.closing.minor_units,
        "entry_count": statement.closing.entry_count,
        "verdict": statement.verdict.name,
    }


def _time(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _printable(text: str) -> str:
    """The text without characters that a terminal would act on."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
