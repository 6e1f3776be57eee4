"""A statement: opening balance, entries, closing balance, and whether they agree.

Pure: it is computed from what the ledger said, and proves the ledger right or wrong.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Iterable, Sequence

from meshkit.money import Currency


class Verdict(enum.Enum):
    """What the entries say about the balance."""

    ADDS_UP = "adds up"
    DOES_NOT_ADD_UP = "DOES NOT ADD UP"
    # Transfers were posted during every reading, so entries and balance are of different moments.
    UNSETTLED = "not verified: transfers were posted meanwhile"


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One entry of the account; `minor_units` is signed."""

    entry_id: int
    transfer_id: str
    minor_units: int
    reference: str
    create_time: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class ClosingBalance:
    """What the ledger says that the account's entries add up to, and how many they are."""

    minor_units: int
    entry_count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """One account's statement.

    `opening_minor_units` and `opening_count` sum up the entries before the
    statement's beginning, `lines` are those since.
    """

    account_id: str
    kind: str
    currency: Currency
    opening_minor_units: int
    opening_count: int
    lines: Sequence[Line]
    closing: ClosingBalance
    settled: bool

    @property
    def verdict(self) -> Verdict:
        """Whether opening balance and entries make the closing balance, in sum and number."""
        if not self.settled:
            return Verdict.UNSETTLED
        total = self.opening_minor_units + sum(line.minor_units for line in self.lines)
        count = self.opening_count + len(self.lines)
        agrees = ClosingBalance(total, count) == self.closing
        return Verdict.ADDS_UP if agrees else Verdict.DOES_NOT_ADD_UP


def statement_of(
    account_id: str,
    kind: str,
    currency: Currency,
    entries: Iterable[Line],
    closing: ClosingBalance,
    *,
    settled: bool,
    since: dt.datetime | None = None,
) -> Statement:
    """The statement of all `entries` of an account that begins at `since`, or with the first."""
    opening_minor_units = opening_count = 0
    lines: list[Line] = []
    for entry in entries:
        if since is not None and entry.create_time < since:
            opening_minor_units += entry.minor_units
            opening_count += 1
        else:
            lines.append(entry)
    return Statement(
        account_id=account_id,
        kind=kind,
        currency=currency,
        opening_minor_units=opening_minor_units,
        opening_count=opening_count,
        lines=tuple(lines),
        closing=closing,
        settled=settled,
    )
