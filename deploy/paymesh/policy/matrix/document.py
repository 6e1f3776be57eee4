"""The matrix as JSON: one line a cell, sorted, so that a difference is a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from paymesh.policy.matrix.evaluate import Cell, Matrix
from paymesh.policy.matrix.permissions import parts
from paymesh.policy.matrix.plan import Plan

EVERY_CLASS = "*"


def document(plan: Plan, matrix: Matrix) -> dict[str, Any]:
    """`{callers, users, classes, decisions}`.

    `classes` are the classes of messages by RPC or action. A decision is {caller, rpc, as,
    answers}, `answers` the classes by reason; `ALLOWED` has the grant behind it; `*` is every
    class.
    """
    return {
        "callers": list(plan.callers),
        "users": [user.name for user in plan.users],
        "classes": {
            target.name: [one.name for one in target.shape.classes] for target in plan.targets
        },
        "decisions": [_decision(matrix[key]) for key in sorted(matrix)],
    }


def text(header: str, found: dict[str, Any]) -> str:
    """The document as it is committed: a line for each caller, RPC and end user."""
    return "\n".join(_lines(header, found)) + "\n"


def _lines(header: str, found: dict[str, Any]) -> Iterator[str]:
    yield "{"
    yield f'  "_comment": {_json(header)},'
    for name in ("callers", "users"):
        yield f'  "{name}": {_json(found[name])},'
    yield '  "classes": {'
    classes = [f"    {_json(name)}: {_json(of)}" for name, of in found["classes"].items()]
    yield ",\n".join(classes)
    yield "  },"
    yield '  "decisions": ['
    yield ",\n".join(f"    {_json(decision)}" for decision in found["decisions"])
    yield "  ]"
    yield "}"


def _decision(cell: Cell) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for part in parts(cell):
        key = f"{part.answer.reason} {part.answer.grant}".strip()
        answers[key] = EVERY_CLASS if part.is_whole else [one.name for one in part.classes]
    return {
        "caller": cell.caller,
        "rpc": cell.target.name,
        "as": cell.user.name,
        "answers": answers,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
