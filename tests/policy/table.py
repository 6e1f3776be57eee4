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


def load() -> Table:
    """The table beside this module."""
    path = Path(__file__).with_name("expected_decisions.yaml")
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Table(
        users=raw["users"],
        bodies=raw["bodies"],
        rows=tuple(raw["decisions"]),
        closed=tuple(raw["closed"]),
        otherwise=raw["otherwise"],
        closed_reason=raw["closed_reason"],
    )


def _answer(row: dict[str, Any], user: str) -> str:
    answers = row["answers"]
    answer: str = answers if isinstance(answers, str) else answers[user]
    return row.get("instead", answer) if answer == "ALLOWED" else answer
