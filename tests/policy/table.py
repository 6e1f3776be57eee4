"""`expected_decisions.yaml`, multiplied out. It imports nothing of the product."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml


@dataclasses.dataclass(frozen=True)
class Case:
    """One call and what has to become of it: ALLOWED or a reason code."""

    caller: str
    rpc: str
    body: str
    user: str
    expected: str

    def __str__(self) -> str:
        return f"{self.caller} {self.rpc.rpartition('.')[2]} {self.body} {self.user}"


@dataclasses.dataclass(frozen=True)
class Table:
    """The file: users and messages by name, rows, and what holds where there is no row."""

    users: dict[str, Any]
    bodies: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    largest: tuple[dict[str, Any], ...]
    closed: tuple[str, ...]
    otherwise: str
    closed_reason: str

    def cases(self, callers: Iterable[str], rpcs: Iterable[str]) -> Iterator[Case]:
        """Every row for every user; and every caller and RPC without a row, for every user."""
        known = {(row["caller"], row["rpc"]) for row in self.rows}
        for row in self.rows:
            for user in self.users:
                yield Case(row["caller"], row["rpc"], row["body"], user, _answer(row, user))
        rpcs = list(rpcs)
        for caller in callers:
            for rpc in rpcs:
                reason = self.closed_reason if rpc in self.closed else self.otherwise
                for user in self.users if (caller, rpc) not in known else ():
                    yield Case(caller, rpc, "empty", user, reason)

    def amounts(self, currencies: Iterable[str]) -> Iterator[tuple[Case, dict[str, Any]]]:
        """Calls with the largest amount, with one more, and with other currencies; their messages.

        Args:
            currencies: every code there is.
        """
        for row in self.largest:
            tries = dict.fromkeys(row["by_currency"].items(), "ALLOWED")
            tries |= {(code, largest + 1): "AMOUNT_OVER_LIMIT" for code, largest in tries}
            others = set(currencies) - set(row["by_currency"])
            tries |= {(code, 1): "CURRENCY_HAS_NO_LIMIT" for code in sorted(others)}
            for (code, minor_units), expected in tries.items():
                money = {"currencyCode": code, "minorUnits": str(minor_units)}
                message = {"amount": money} if row["field"] == "amount" else _transfer(money)
                name = f"{minor_units} {code}"
                yield Case(row["caller"], row["rpc"], name, row["user"], expected), message


def _transfer(money: dict[str, str]) -> dict[str, Any]:
    """A balanced pair of legs."""
    opposite = {**money, "minorUnits": "-" + money["minorUnits"]}
    return {"legs": [{"accountId": "a", "amount": money}, {"accountId": "b", "amount": opposite}]}


def load() -> Table:
    """The table beside this module."""
    path = Path(__file__).with_name("expected_decisions.yaml")
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Table(
        users=raw["users"],
        bodies=raw["bodies"],
        rows=tuple(raw["decisions"]),
        largest=tuple(raw["largest"]),
        closed=tuple(raw["closed"]),
        otherwise=raw["otherwise"],
        closed_reason=raw["closed_reason"],
    )


def _answer(row: dict[str, Any], user: str) -> str:
    answers = row["answers"]
    answer: str = answers if isinstance(answers, str) else answers[user]
    return row.get("instead", answer) if answer == "ALLOWED" else answer
