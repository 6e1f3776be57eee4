"""`policies/approvals.yaml`: changes of what is allowed that somebody has approved.

A line counts for the change that adds it: one that was there before says nothing about what is
new now.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from paymesh.errors import ConfigError
from paymesh.policy import candidate
from paymesh.policy.matrix import plan, source, subjects

FILE = Path("policies/approvals.yaml")
ALLOW, DENY, READS = "allow", "deny", "reads"
ANY = "any"
_FIELDS = ("change", "caller", "rpc", "as", "why", "by")
_READ_FIELDS = ("change", "input", "why", "by")
# The name of a place as `policy diff` prints it: no pointer, no blanks, no `input.` before it.
_PLACE = re.compile(r"(?!input\.)[^\s/.]+(\.[^\s.]+)*")
# Users that no service takes for one: `any` does not mean them.
_FALSE_USERS = frozenset({subjects.EXPIRED, subjects.FORGED})


@dataclasses.dataclass(frozen=True)
class Approval:
    """One line. `role` is a role, `none` for calls without a user, or `any`."""

    change: str
    caller: str
    rpc: str
    role: str
    why: str
    by: str


@dataclasses.dataclass(frozen=True)
class ReadApproval:
    """One line about a place that the policy reads and that nothing was asked about."""

    place: str
    why: str
    by: str


@dataclasses.dataclass(frozen=True)
class Approvals:
    """The lines that count."""

    lines: tuple[Approval, ...]
    reads: tuple[ReadApproval, ...] = ()

    def covers_read(self, place: str) -> bool:
        """Whether a line names this place, as `engine.Place.name` has it."""
        return any(line.place == place for line in self.reads)

    def covers(self, kind: str, caller: str, rpc: str, roles: Collection[str]) -> bool:
        """Whether lines name this change: of a user with several roles each role, or any.

        Args:
            kind: `allow` for what was refused before, `deny` for what was allowed.
            caller: a workload, or a stranger of the matrix.
            rpc: `/package.Service/Method`, or an action of the object decision.
            roles: the end user's; none at all where there is no user.
        """
        named = {
            line.role
            for line in self.lines
            if (line.change, line.caller, line.rpc) == (kind, caller, rpc)
        }
        wanted = set(roles) or {subjects.NONE}
        return wanted <= named or (ANY in named and not _FALSE_USERS & wanted)


@dataclasses.dataclass(frozen=True)
class Names:
    """What a line can be about."""

    callers: frozenset[str]
    rpcs: frozenset[str]
    roles: frozenset[str]


def names(asked: plan.Plan) -> Names:
    """What a line can be about where the plan's questions are compared."""
    return Names(
        frozenset(asked.callers),
        frozenset(target.name for target in asked.targets),
        frozenset({ANY, *(user.name for user in asked.users)}),
    )


def added(root: Path, base_rev: str) -> Approvals:
    """The lines of the checkout at `root` that the git revision `base_rev` has not.

    Raises:
        ConfigError: there is no such revision, or a line is wrong.
    """
    with candidate.checked_out(base_rev, root) as base:
        states = source.read(base, base_rev), source.read(root, "the checkout")
        return between(base, root, names(plan.make(*states)))


def between(base: Path, head: Path, known: Names) -> Approvals:
    """The lines of `head` that `base` has not: two checkouts, or directories of policies.

    Raises:
        ConfigError: a line is no approval, stands twice, or a new one names what is not there.
    """
    before = _entries(base)
    entries = _entries(head)
    lines = [_line(entry, index) for index, entry in enumerate(entries, start=1)]
    for line in lines:
        if lines.count(line) > 1:
            raise ConfigError(f"{FILE}: a line about {_subject(line)} stands twice")
    new = [line for line, entry in zip(lines, entries, strict=True) if entry not in before]
    changes = tuple(line for line in new if isinstance(line, Approval))
    for line in changes:
        _check(line, known)
    return Approvals(changes, tuple(line for line in new if isinstance(line, ReadApproval)))


def read_line(place: str) -> str:
    """The line that is missing, for somebody to fill in."""
    return f"  - {{change: {READS}, input: {json.dumps(place)}, why: ..., by: ...}}"


def _entries(root: Path) -> list[Any]:
    """The list as it stands there; empty where there is no file, as before there were any."""
    try:
        path = candidate.policies_of(root) / FILE.name
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{FILE} cannot be read: {error}") from error
    if not isinstance(raw, dict) or set(raw) != {"approvals"}:
        raise ConfigError(f"{FILE} must hold `approvals:` and nothing else")
    found = raw["approvals"] or []
    if not isinstance(found, list):
        raise ConfigError(f"{FILE}: `approvals` must be a list")
    return found


def _line(entry: Any, index: int) -> Approval | ReadApproval:
    where = f"{FILE}: line {index} of the list"
    is_read = isinstance(entry, dict) and entry.get("change") == READS
    fields = _READ_FIELDS if is_read else _FIELDS
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} must have {', '.join(fields)}")
    for field in fields:
        value = entry.get(field)
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{where} lacks `{field}`, a text")
    if extra := sorted(set(map(str, entry)) - set(fields)):
        raise ConfigError(f"{where} has {', '.join(extra)}, which means nothing here: remove it")
    if is_read:
        if not _PLACE.fullmatch(entry["input"]):
            raise ConfigError(
                f"{where}: `input: {entry['input']}` is no place: copy it from `paymesh policy"
                " diff`, such as attributes.request.http.method"
            )
        return ReadApproval(entry["input"], entry["why"], entry["by"])
    if entry["change"] not in {ALLOW, DENY}:
        raise ConfigError(
            f"{where}: `change` must be {ALLOW}, {DENY} or {READS}, not {entry['change']!r}"
        )
    return Approval(
        entry["change"], entry["caller"], entry["rpc"], entry["as"], entry["why"], entry["by"]
    )


def _subject(line: Approval | ReadApproval) -> str:
    return line.place if isinstance(line, ReadApproval) else f"{line.caller} and {line.rpc}"


def _check(line: Approval, known: Names) -> None:
    for field, value, there in (
        ("caller", line.caller, known.callers),
        ("rpc", line.rpc, known.rpcs),
        ("as", line.role, known.roles),
    ):
        if value not in there:
            others = ", ".join(sorted(there))
            raise ConfigError(f"{FILE}: `{field}: {value}` does not exist: it is one of {others}")
