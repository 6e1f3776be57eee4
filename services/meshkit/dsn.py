"""Connection strings, read without saying what is in them.

What psycopg and libpq say of a malformed one quotes it, and what they quote may be a part of the
password: one with a blank ends where the blank is, one with `@` or `/` in a URI begins the host
name. So every connection string is read here first, and the complaint is always the same.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

# Where a part of a password ends up when its `@` or `/` is not percent-encoded in a URI.
_PLAIN = {
    "host": re.compile(r"[A-Za-z0-9_.:%-]*|[/@][^,]*"),
    "hostaddr": re.compile(r"[0-9A-Fa-f.:]*"),
    "port": re.compile(r"[0-9]*"),
}


class DsnError(Exception):
    """The text is no connection string; the message has nothing of it."""


def settings(text: str) -> dict[str, Any]:
    """Return libpq's settings by name.

    Raises DsnError, without a cause: that would quote the text in a traceback.
    """
    try:
        found: dict[str, Any] = conninfo_to_dict(text)
    except (psycopg.Error, ValueError):
        found = {}
    plain = all(
        pattern.fullmatch(part)
        for name, pattern in _PLAIN.items()
        for part in str(found.get(name) or "").split(",")
    )
    if not found or not plain or "@" in str(found.get("dbname") or ""):
        raise DsnError(
            "It is no connection string that libpq can read: quote what has blanks in it, or"
            " percent-encode it in a URI."
        ) from None
    return found
