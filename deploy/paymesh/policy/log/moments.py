"""Moments as people write them and as records have them: Unix time in nanoseconds."""

from __future__ import annotations

import datetime as dt
import functools
import re

from paymesh.errors import ConfigError

SECOND_NS = 1_000_000_000
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d{1,9}[smhd])+")
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


def parse(text: str, now_ns: int) -> int:
    """A moment that a user gave.

    Args:
        text: how long ago, such as `10m` or `1h30m`, or a time of RFC 3339.
        now_ns: which moment is now.

    Raises:
        ConfigError: it is neither.
    """
    if _DURATION.fullmatch(text):
        parts = re.findall(r"(\d+)([smhd])", text)
        ago_seconds = sum(int(count) * _UNIT_SECONDS[unit] for count, unit in parts)
        found: int | None = now_ns - ago_seconds * SECOND_NS
    else:
        found = of(text)
    if found is None:
        raise ConfigError(
            f"{text!r} is no time: write how long ago, such as 10m, 2h or 1d,"
            " or a time such as 2026-11-21T10:15:00Z"
        )
    if found < 0:
        raise ConfigError(f"{text!r} is before 1970: no decision is that old")
    return found


def of(stamp: str) -> int | None:
    """A time of RFC 3339 to the nanosecond; None when it is none."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    whole, fraction, zone = match.groups()
    second_ns = _second_ns(whole, zone)
    return None if second_ns is None else second_ns + int((fraction or "0").ljust(9, "0"))


@functools.lru_cache(maxsize=64)
def _second_ns(whole: str, zone: str) -> int | None:
    """Records of one second stand together: it is worked out once."""
    try:
        there = dt.datetime.fromisoformat(whole + ("+00:00" if zone in "Zz" else zone))
        moment = there.astimezone(dt.UTC)  # whose year may be one that there is not
    except (ValueError, OverflowError):
        return None
    return int(moment.timestamp()) * SECOND_NS


def text(moment_ns: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    moment = dt.datetime.fromtimestamp(moment_ns // SECOND_NS, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment_ns % SECOND_NS // 1_000_000:03d}Z"
