"""A record as one line for people.

What a caller can choose the text of, such as the path of a refused request, is made harmless
before it reaches a terminal.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools

from paymesh.policy.log.moments import SECOND_NS
from paymesh.policy.log.records import Entry, Record
from paymesh.policy.log.selection import proven_user, roles
from paymesh.terminal import printable

# Text and its style, as rich names it.
Piece = tuple[str, str]

SHOWN_ID = 8
# For 100 characters; what a wider terminal has beyond that goes to the call.
_NARROWEST = 100
_DAY_SECONDS = 86400
_TIME, _CALL, _USER, _WHY = 12, 32, 15, 24


@dataclasses.dataclass(frozen=True)
class Layout:
    """Widths of the columns.

    Attributes:
        cut: what is longer than its column loses its end; otherwise it pushes the rest aside,
            so that a program finds everything.
    """

    call: int
    user: int
    why: int
    cut: bool

    @classmethod
    def of(cls, width: int | None) -> Layout:
        """For a terminal of this width, or for a file or a pipe."""
        spare = max(0, (width or 0) - _NARROWEST)
        return cls(_CALL + spare // 2, _USER + spare - spare // 2, _WHY, width is not None)

    def header(self) -> str:
        """Names of the columns."""
        titles = self._columns("CALL", "USER", "REASON OR GRANT")
        return f"{'TIME (UTC)':<{_TIME}}    {'  '.join(titles)} DECISION"

    def line(self, entry: Entry) -> list[Piece]:
        """A record."""
        record = entry.record
        is_allowed = record.get("allowed") is True
        colour = "green" if is_allowed else "red"
        call, user, why = self._columns(
            f"{short_caller(record)} → {short_rpc(record, entry.workload)}",
            short_user(record),
            printable(record.get("grant") if is_allowed else record.get("reason")),
        )
        return [
            (f"{time_of_day(entry.time_ns)}  ", "dim"),
            ("✔ " if is_allowed else "✗ ", colour),
            (f"{call}  {user}  ", ""),
            (f"{why} ", "" if is_allowed else colour),
            (printable(record["decision_id"])[:SHOWN_ID], "dim"),
        ]

    def _columns(self, call: str, user: str, why: str) -> tuple[str, str, str]:
        return (
            self._fit(call, self.call),
            self._fit(user, self.user),
            self._fit(why, self.why),
        )

    def _fit(self, text: str, width: int) -> str:
        if self.cut and len(text) > width:
            return text[: width - 1] + "…"
        return f"{text:<{width}}"


@functools.lru_cache(maxsize=8)
def _day(number: int) -> str:
    return f"{dt.datetime.fromtimestamp(number * _DAY_SECONDS, dt.UTC):%Y-%m-%d}"


def day(time_ns: int) -> str:
    """The day of a moment in UTC."""
    return _day(time_ns // SECOND_NS // _DAY_SECONDS)


def time_of_day(time_ns: int) -> str:
    """To the millisecond, in UTC."""
    minutes, seconds = divmod(time_ns // SECOND_NS % _DAY_SECONDS, 60)
    milliseconds = time_ns % SECOND_NS // 1_000_000
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{milliseconds:03d}"


def short_caller(record: Record) -> str:
    """The workload's name, or what a stranger presented."""
    return printable(record.get("caller")) or "nobody"


def short_rpc(record: Record, workload: str) -> str:
    """`workload/Method` of a call, the action of a question about an object."""
    rpc = printable(record.get("rpc"))
    service, slash, method = rpc.removeprefix("/").partition("/")
    is_call = rpc.startswith("/") and slash and service and method
    return f"{workload}/{method}" if is_call else rpc or "?"


def short_user(record: Record) -> str:
    """`subject roles` of a user who was proven; a user who was not is `?`."""
    user = proven_user(record)
    if user is None:
        return "?" if record.get("token") else ""
    return " ".join([printable(user.get("sub")), printable(",".join(roles(user)))]).strip()
