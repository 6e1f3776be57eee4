"""The grants, broken on purpose in one place at a time.

`paymesh-pdp mutate` asks the tests about each of them. What publishing refuses
(`paymesh.policy.coverage`) needs no test, and is named here.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from paymesh.errors import ConfigError
from paymesh.grants import Grant, Grants
from paymesh.mesh import Mesh
from paymesh.policy import coverage

Document = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a grant may name."""

    mesh: Mesh
    rpcs: tuple[str, ...]
    conditions: tuple[str, ...]
    currencies: tuple[str, ...]
    # The edges whose decisions look at limits.
    limited: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Break:
    """One change: where it stands, what it does to the document."""

    line: int
    rule: str
    operator: str
    old: str
    new: str
    change: Callable[[Document], None]
    # Callers and RPCs of which the decision may change: their cases are tried first.
    touches: tuple[str, ...]


def edge(caller: str, rpc: str) -> str:
    """A caller and an RPC, as a case of the table and a mutant name what they are about."""
    return f"{caller} {rpc}"


def mutants(path: Path, name: str, around: Surroundings) -> list[dict[str, Any]]:
    """Every mutant of the reviewers' file, as `paymesh-pdp mutate --grants` reads them.

    Args:
        path: of the file.
        name: of the file, in what is reported.
        around: what there is to call, to ask for and to be.
    """
    text = path.read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    found = []
    for one in _breaks(document, _Lines(yaml.compose(text)), around):
        changed = copy.deepcopy(document)
        one.change(changed)
        found.append(
            {
                "file": name,
                "line": one.line,
                "rule": one.rule,
                "operator": one.operator,
                "old": one.old,
                "new": one.new,
                "touches": one.touches,
                "grants": changed,
                "refused": _refused(changed, around),
            }
        )
    return found


class _Lines:
    """Lines of the file by where in the document something stands."""

    def __init__(self, root: yaml.Node) -> None:
        self._root = root

    def of(self, *way: str | int) -> int:
        """The line of what the way of keys and indices leads to, from 1."""
        node = self._root
        for step in way:
            if isinstance(node, yaml.SequenceNode):
                node = node.value[step]
            else:
                node = next(value for key, value in node.value if key.value == step)
        return int(node.start_mark.line) + 1


def _breaks(document: Document, lines: _Lines, around: Surroundings) -> Iterator[Break]:
    for i, grant in enumerate(document["grants"]):
        yield from _grant(document, i, grant, lines, around)
    for i, line in enumerate(document["closed"]):
        yield from _closed(i, line, lines, around)
    for limit, by_currency in document["limits"].items():
        yield from _limits(limit, by_currency, lines, around)


def _grant(
    document: Document, i: int, grant: Document, lines: _Lines, around: Surroundings
) -> Iterator[Break]:
    def broken(
        key: str, operator: str, new: str, other: Document, change: Callable[[Document], None]
    ) -> Break:
        touches = (edge(grant["caller"], grant["rpc"]), edge(other["caller"], other["rpc"]))
        old, line = f"{key}: {_shown(grant[key])}", lines.of("grants", i, key)
        return Break(line, grant["id"], operator, old, new, change, touches)

    def replaced(key: str, operator: str, value: Any) -> Break:
        change = _set(value, "grants", i, key)
        return broken(key, operator, f"{key}: {_shown(value)}", {**grant, key: value}, change)

    def added(key: str, operator: str, value: str) -> Break:
        also = {**grant, "id": f"{grant['id']}-also", key: value}
        new = f"{key}: {grant[key]}, and a second grant with {value}"
        return broken(key, operator, new, also, lambda changed: changed["grants"].append(also))

    yield broken("id", "drop grant", "", grant, lambda changed: changed["grants"].pop(i))
    for other in (name for name in around.mesh.workloads if name != grant["caller"]):
        yield replaced("caller", "swap caller", other)
        if not _may_already(document, other, grant):
            yield added("caller", "widen caller", other)
    granted = {one["rpc"] for one in document["grants"] if one["caller"] == grant["caller"]}
    other = _after(around.rpcs, grant["rpc"], but=granted)
    yield replaced("rpc", "swap rpc", other)
    yield added("rpc", "widen rpc", other)
    for at, name in enumerate(grant["conditions"]):
        rest = [*grant["conditions"][:at], *grant["conditions"][at + 1 :]]
        yield replaced("conditions", "drop condition", rest)
        other = _after(around.conditions, name, but=grant["conditions"])
        yield replaced("conditions", "swap condition", [*rest[:at], other, *rest[at:]])


def _may_already(document: Document, caller: str, grant: Document) -> bool:
    """Whether a grant like this one would let the caller do nothing new."""
    return any(
        (one["caller"], one["rpc"]) == (caller, grant["rpc"])
        and set(one["conditions"]) <= set(grant["conditions"])
        for one in document["grants"]
    )


def _closed(i: int, line: Document, lines: _Lines, around: Surroundings) -> Iterator[Break]:
    def broken(operator: str, new: str, caller: str, grants: list[Document]) -> Break:
        def change(changed: Document) -> None:
            changed["closed"].pop(i)
            changed["grants"] += grants

        old, touches = f"rpc: {line['rpc']}", (edge(caller, line["rpc"]),)
        return Break(lines.of("closed", i), line["rpc"], operator, old, new, change, touches)

    yield broken("drop closed", "", "", [])
    for caller in around.mesh.workloads:
        grant = {"id": "opened", "caller": caller, "rpc": line["rpc"], "conditions": [], "why": "x"}
        yield broken("open closed", f"a grant for {caller}", caller, [grant])


def _limits(
    limit: str, by_currency: Document, lines: _Lines, around: Surroundings
) -> Iterator[Break]:
    def broken(operator: str, code: str, value: int | None) -> Break:
        rest = {other: largest for other, largest in by_currency.items() if other != code}
        if value is not None:
            rest[code] = value
        old = f"{code}: {by_currency[code]}" if code in by_currency else ""
        new = f"{code}: {value}" if value is not None else ""
        line = lines.of("limits", limit, *([code] if code in by_currency else []))
        return Break(line, limit, operator, old, new, _set(rest, "limits", limit), around.limited)

    for code, largest in by_currency.items():
        yield broken("raise limit", code, largest + 1)
        yield broken("lower limit", code, largest - 1)
        yield broken("drop currency", code, None)
    # One is as good as any: a currency is looked up by its code.
    other = next(code for code in around.currencies if code not in by_currency)
    yield broken("add currency", other, max(by_currency.values()))


def _refused(document: Document, around: Surroundings) -> str:
    """Why this would not be published, or nothing."""
    grants = Grants(
        tuple(
            Grant(one["id"], one["caller"], one["rpc"], tuple(one["conditions"]), one["why"])
            for one in document["grants"]
        ),
        {line["rpc"]: line["why"] for line in document["closed"]},
    )
    try:
        coverage.check(around.mesh, grants, around.rpcs, around.conditions)
    except ConfigError as error:
        return str(error)
    return ""


def _set(value: Any, *way: str | int) -> Callable[[Document], None]:
    def change(changed: Any) -> None:
        for step in way[:-1]:
            changed = changed[step]
        changed[way[-1]] = value

    return change


def _after(names: Iterable[str], one: str, but: Iterable[str]) -> str:
    """The name that follows in order, the first one after the last."""
    others = sorted((set(names) - set(but)) | {one})
    return others[(others.index(one) + 1) % len(others)]


def _shown(value: Any) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)
