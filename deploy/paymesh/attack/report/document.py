"""Results as JSON, docs/attack-paths.json: one line where one thing is said, and read back."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paymesh.attack.model import ARMS, Arm, Cell, Graph, Target
from paymesh.attack.report.blocks import Block, Universe, blocks, place
from paymesh.attack.report.result import Result, json_rows, rows, rows_by_start
from paymesh.errors import ConfigError

_EVERY = "*"


@dataclasses.dataclass(frozen=True)
class Committed:
    """A document that was read: its graphs, its figures, and all of it."""

    universe: Universe
    graphs: Mapping[Arm, Graph]
    whole: Mapping[str, Any]


def document(result: Result) -> dict[str, Any]:
    """`{arms, cells, table, by_start, lifetimes, identities, users, edges, remaining}`.

    `table` is M1 to M3 by arm, `by_start` the same by what an attack begins with. A line of
    `edges` is {position, destination, method, arms, identities, credentials}: each combination of
    the two is an edge in each of the arms; `*` is every identity of the position, or no token and
    every user's. A line of `remaining` is edges of arm E in a block, with the reason, and the
    grant that allows them if it is one.
    """
    universe = result.universe
    return {
        "arms": list(result.graphs),
        "cells": result.cells,
        "table": json_rows(rows(result.figures)),
        "by_start": json_rows(rows_by_start(result.figures)),
        "lifetimes": [_lifetime(one) for one in result.lifetimes],
        "identities": {name: list(of) for name, of in universe.identities.items()},
        "users": list(universe.users),
        "edges": _edges(result),
        "remaining": _remaining(result),
    }


def _lifetime(one: Any) -> dict[str, Any]:
    return {
        "credential": one.credential,
        "works_from": list(one.works_from),
        "ended_by": one.ended_by,
        "seconds": one.seconds,
        "measured": list(one.measured),
    }


def _edges(result: Result) -> list[dict[str, Any]]:
    arms: dict[Cell, str] = defaultdict(str)
    for arm, graph in result.graphs.items():
        for cell in graph:
            arms[cell] += arm
    by_arms: dict[str, list[Cell]] = defaultdict(list)
    for cell, letters in arms.items():
        by_arms[letters].append(cell)
    found = [
        (block, letters)
        for letters, cells in by_arms.items()
        for block in blocks(result.universe, cells)
    ]
    found.sort(key=lambda one: (*place(result.universe, one[0])[:2], one[1]))
    return [
        {
            "position": block.positions[0],
            "destination": block.target.destination,
            "method": block.target.method,
            "arms": letters,
            **_who(result.universe, block),
        }
        for block, letters in found
    ]


def _remaining(result: Result) -> list[dict[str, Any]]:
    by_reason: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for one in result.remaining:
        by_reason[one.why, one.grant, one.grant_why].append(one.cell)
    return [
        {
            "why": why,
            "grant": grant,
            "grant_why": grant_why,
            "positions": list(block.positions),
            "identities": list(block.identities),
            "credentials": list(block.credentials),
            "destination": block.target.destination,
            "method": block.target.method,
            "edges": len(block),
        }
        for (why, grant, grant_why), cells in sorted(by_reason.items())
        for block in blocks(result.universe, cells, merge=True)
    ]


def _who(universe: Universe, block: Block) -> dict[str, Any]:
    (position,) = block.positions
    identities, users = universe.identities[position], universe.users
    return {
        "identities": _EVERY if block.identities == identities else list(block.identities),
        "credentials": _EVERY if block.credentials == users else list(block.credentials),
    }


def text(header: str, found: Mapping[str, Any]) -> str:
    """The document as it is committed: a line for each entry of a list."""
    return "\n".join(_lines(header, found)) + "\n"


def _lines(header: str, found: Mapping[str, Any]) -> Iterator[str]:
    yield "{"
    yield f'  "_comment": {_json(header)},'
    last = list(found)[-1]
    for name, value in found.items():
        comma = "" if name == last else ","
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield f'  "{name}": ['
            yield ",\n".join(f"    {_json(entry)}" for entry in value)
            yield f"  ]{comma}"
        else:
            yield f'  "{name}": {_json(value)}{comma}'
    yield "}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def read(path: Path) -> Committed:
    """Reads a document back from a file.

    Raises:
        ConfigError: there is none, or it is none.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there: `paymesh attack-paths --write` makes it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def parse(found: str, name: str) -> Committed:
    """Reads a document back. `name` is for what is said of it.

    Raises:
        ConfigError: it is none.
    """
    try:
        whole = json.loads(found)
        universe = Universe(
            {name: tuple(of) for name, of in whole["identities"].items()}, tuple(whole["users"])
        )
        graphs: dict[Arm, set[Cell]] = {arm: set() for arm in ARMS if arm in whole["arms"]}
        for line in whole["edges"]:
            for arm in line["arms"]:
                graphs[arm] |= set(_block(universe, line).cells())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{name} is no result of `paymesh attack-paths`: {error!r}") from error
    return Committed(universe, {arm: frozenset(of) for arm, of in graphs.items()}, whole)


def _block(universe: Universe, line: Mapping[str, Any]) -> Block:
    position, identities, credentials = line["position"], line["identities"], line["credentials"]
    return Block(
        (position,),
        universe.identities[position] if identities == _EVERY else tuple(identities),
        universe.users if credentials == _EVERY else tuple(credentials),
        Target(line["destination"], line["method"]),
    )
