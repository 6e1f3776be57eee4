"""Text that somebody else has chosen, made harmless before a terminal obeys it."""

from __future__ import annotations


def printable(value: object) -> str:
    """As it is, but for what is no visible character, which is shown as its number; nothing
    for None.
    """
    text = value if isinstance(value, str) else "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def printable_lines(text: str) -> str:
    """The same of text that may have several lines."""
    return "\n".join(printable(line.expandtabs()) for line in text.split("\n"))
