"""Where in the policy's files something stands, and what its rules say about themselves.

Lines are those of the text that decided. A rule is found by its head at the beginning of a
line, as `opa fmt` leaves it; what it says of itself are its annotations ("Annotations" in
OPA's documentation), a block of comments above it.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence

import yaml

AUTHZ = "paymesh/authz/"
OBJECTS = "paymesh/objects/"
REVIEWERS_FILE = "policies/paymesh/grants/data.yaml"
_HEAD = re.compile(r"(?:default )?([A-Za-z_]\w*)(?:\[\"([^\"]+)\"\]|\.(\w+))?(?=[\s(:=]|$)")
_NOT_RULES = {"package", "import"}


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule of a Rego file.

    Attributes:
        name: `decision`, or `condition.body_readable` for a part of a document.
        file: in the bundle.
        line: of its head, from 1.
        text: its lines as they stand there.
        comment: the plain comment above it, as one text.
        description: its own words, from its annotations.
        facts: Rego references whose values it goes by, from its annotations.
    """

    name: str
    file: str
    line: int
    text: tuple[str, ...]
    comment: str
    description: str
    facts: tuple[str, ...]

    @property
    def place(self) -> str:
        """For people and their editors."""
        return f"policies/{self.file}:{self.line}"

    def place_of(self, code: str) -> str:
        """Where in the rule a reason code stands; the rule's own place if nowhere."""
        for offset, line in enumerate(self.text):
            if f'"{code}"' in line:
                return f"policies/{self.file}:{self.line + offset}"
        return self.place


class Rules:
    """All rules of the files below a prefix, by name."""

    def __init__(self, files: Mapping[str, bytes], prefix: str) -> None:
        self._by_name: dict[str, list[Rule]] = {}
        self.text = ""
        for name, content in sorted(files.items()):
            if name.startswith(prefix) and name.endswith(".rego"):
                text = content.decode(errors="replace")
                self.text += text
                for rule in _rules(name, text.splitlines()):
                    self._by_name.setdefault(rule.name, []).append(rule)

    def find(self, name: str) -> Rule | None:
        """The first rule of a name that is more than its default."""
        found = self._by_name.get(name, [])
        return next((rule for rule in found if not rule.text[0].startswith("default ")), None) or (
            found[0] if found else None
        )

    def facts(self) -> set[str]:
        """Every reference that a rule goes by."""
        return {fact for rules in self._by_name.values() for rule in rules for fact in rule.facts}

    def defaults(self, name: str) -> Rule | None:
        """The `default` of a name."""
        found = self._by_name.get(name, [])
        return next((rule for rule in found if rule.text[0].startswith("default ")), None)

    def at(self, file: str, line: int) -> Rule | None:
        """The rule that a line of a file belongs to."""
        for rules in self._by_name.values():
            for rule in rules:
                if rule.file == file and rule.line <= line < rule.line + len(rule.text):
                    return rule
        return None


def _rules(file: str, lines: Sequence[str]) -> list[Rule]:
    found = []
    for index, line in enumerate(lines):
        match = _HEAD.match(line)
        if match is None or match[1] in _NOT_RULES:
            continue
        name = ".".join(part for part in (match[1], match[2] or match[3]) if part)
        notes = _comment_above(lines, index)
        annotations, plain = _annotations(notes)
        custom = annotations.get("custom")
        facts = custom.get("facts", ()) if isinstance(custom, dict) else ()
        found.append(
            Rule(
                name=name,
                file=file,
                line=index + 1,
                text=tuple(lines[index : _end(lines, index)]),
                comment=" ".join(plain),
                description=str(annotations.get("description", "")).strip(),
                facts=tuple(str(fact) for fact in facts),
            )
        )
    return found


def _end(lines: Sequence[str], index: int) -> int:
    """Behind the last line of the rule that begins at `index`."""
    end = index + 1
    for place in range(index + 1, len(lines)):
        if lines[place] and lines[place][0] not in "\t })]":
            break
        if lines[place]:
            end = place + 1
    return end


def _comment_above(lines: Sequence[str], index: int) -> list[str]:
    begin = index
    while begin > 0 and lines[begin - 1].startswith("#"):
        begin -= 1
    return [line.removeprefix("#").removeprefix(" ") for line in lines[begin:index]]


def _annotations(notes: Sequence[str]) -> tuple[dict[str, object], list[str]]:
    """The annotations in a comment, and the lines that are none."""
    if "METADATA" not in notes:
        return {}, list(notes)
    begin = notes.index("METADATA")
    try:
        found = yaml.safe_load("\n".join(notes[begin + 1 :]))
    except yaml.YAMLError:
        found = None
    return found if isinstance(found, dict) else {}, list(notes[:begin])


class ReviewersFile:
    """Lines of the grants and of what is closed."""

    def __init__(self, text: bytes | None) -> None:
        self._text = text

    def grant(self, grant_id: str) -> str:
        """The place of a grant."""
        return self._place("grants", "id", grant_id)

    def closed(self, rpc: str) -> str:
        """The place of the line that closes an RPC."""
        return self._place("closed", "rpc", rpc)

    def _place(self, section: str, key: str, value: str) -> str:
        line = self._lines.get((section, key, value))
        return f"{REVIEWERS_FILE}:{line}" if line else REVIEWERS_FILE

    @functools.cached_property
    def _lines(self) -> dict[tuple[str, str, str], int]:
        if self._text is None:
            return {}
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
        root = yaml.compose(self._text, loader)
        found: dict[tuple[str, str, str], int] = {}
        for section, entries in _pairs(root):
            for entry in getattr(entries, "value", ()) if section in {"grants", "closed"} else ():
                for key, value in _pairs(entry):
                    place = (section, key, str(value.value))
                    found.setdefault(place, entry.start_mark.line + 1)
        return found


def _pairs(node: object) -> list[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        return []
    return [(str(key.value), value) for key, value in node.value]
