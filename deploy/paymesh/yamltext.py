"""YAML as PyYAML's safe loader reads it, several times faster, and without double keys.

The safe loader spends its time on building a node for each word and on finding out, by
regular expressions, what kind of word it is. Here values are made from the parser's events,
and what kind a word is, is found out once for each word. Whatever is out of the ordinary
(anchors, tags, merged or compound keys) is left to the safe loader.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import yaml

# libyaml; without it, in an unusual build of PyYAML, the same in Python.
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER = yaml.resolver.Resolver()
_PLAIN = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp")
)
_MERGE = "tag:yaml.org,2002:merge"
_MAX_WORDS = 4096


class _UnusualError(Exception):
    """Something that the safe loader has to read."""


class _SafeLoader(_PARSER):  # type: ignore[misc]
    """The safe loader, without double keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        """As the base class."""
        own = node.value if isinstance(node, yaml.MappingNode) else ()
        seen = set()
        for key_node, _ in own:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the base class says what is wrong with it
            if key in seen:
                raise _double(key, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(text: str | bytes) -> Any:
    """The one document in `text`; None when there is none.

    Raises:
        yaml.YAMLError: it is no YAML, more than one document, or has a key twice in a mapping.
        ValueError: a date that is none.
    """
    try:
        return _Reader(text).document()
    except _UnusualError:
        return yaml.load(text, Loader=_SafeLoader)  # noqa: S506 — it is a safe loader
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None


class _Reader:
    """One text, event by event."""

    def __init__(self, text: str | bytes) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_PARSER)
        self._words: dict[str, Any] = {}

    def document(self) -> Any:
        """The value of the only document."""
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events))
        next(self._events)
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            raise _UnusualError
        return value

    def _value(self, event: Any) -> Any:
        kind = type(event)
        if kind is yaml.AliasEvent or event.anchor is not None:
            raise _UnusualError
        if kind is yaml.ScalarEvent:
            return self._scalar(event)
        if event.tag is not None:
            raise _UnusualError
        return self._mapping() if kind is yaml.MappingStartEvent else self._sequence()

    def _sequence(self) -> list[Any]:
        values = []
        for event in self._events:
            if type(event) is yaml.SequenceEndEvent:
                break
            values.append(self._value(event))
        return values

    def _mapping(self) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        for event in self._events:
            kind = type(event)
            if kind is yaml.MappingEndEvent:
                break
            if kind is not yaml.ScalarEvent:
                raise _UnusualError
            key = self._value(event)
            if key in values:
                raise _double(key, event.start_mark)
            values[key] = self._value(next(self._events))
        return values

    def _scalar(self, event: Any) -> Any:
        plain, quoted = event.implicit
        if event.tag is not None or not (plain or quoted):
            raise _UnusualError
        text: str = event.value
        if not plain:
            return text
        if text not in self._words:
            if len(self._words) >= _MAX_WORDS:
                self._words.clear()
            self._words[text] = _word(text)
        return self._words[text]


def _word(text: str) -> Any:
    """What a word without quotes means; immutable, so that it can stand in many places."""
    tag = str(_RESOLVER.resolve(yaml.ScalarNode, text, (True, False)))  # type: ignore[no-untyped-call]
    if tag not in _PLAIN:
        raise _UnusualError
    if tag.endswith(":str"):
        return text
    constructor = yaml.constructor.SafeConstructor()
    return constructor.construct_object(yaml.ScalarNode(tag, text))


def _double(key: object, mark: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(
        None, None, f"the key {key!r} stands twice in one mapping", mark
    )
