"""The little of SVG 1.1 that a picture of a graph needs, as text, escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def element(name: str, *children: str, **attributes: object) -> str:
    """One element. Children are SVG already; of names in `attributes` a last `_` goes, and others
    become hyphens; None leaves an attribute out; numbers have at most one decimal.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(children)
    return f"<{name}{written}>{inner}</{name}>" if inner else f"<{name}{written}/>"


def text(words: str, x: float, y: float, **attributes: object) -> str:
    """Words with their baseline at a point."""
    return element("text", escape(words), x=x, y=y, **attributes)


def title(words: str) -> str:
    """What a browser shows when the pointer is on the element that this is a child of."""
    return element("title", escape(words))


def document(
    origin: str, size: tuple[int, int], style: str, description: str, parts: Iterable[str]
) -> str:
    """A whole file: nothing is loaded from anywhere. `origin` says where it comes from; no comment
    of XML may have two hyphens, so it is an element.
    """
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {size[0]} {size[1]}",
        "font-family": "Helvetica, Arial, sans-serif",
        "font-size": 13,
        "role": "img",
        "aria-label": description,
    }
    about = element("desc", escape(origin))
    inner = "\n".join(["", about, f"<style>{style}</style>", *parts, ""])
    return f"{element('svg', inner, **attributes)}\n"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(value)
