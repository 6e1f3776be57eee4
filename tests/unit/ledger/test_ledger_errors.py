"""The tree of errors and the API's documentation say the same."""

from __future__ import annotations

import re
from pathlib import Path

import ledger.errors
from meshkit.errors import MeshError

PROTO = Path(__file__).parents[3] / "protos/paymesh/ledger/v1/ledger.proto"
CLASSES = [
    value
    for value in vars(ledger.errors).values()
    if isinstance(value, type)
    and issubclass(value, MeshError)
    and value.__module__ == "ledger.errors"
]


def test_the_tree_at_the_top_names_each_class_with_its_code_and_reason() -> None:
    """The module's docstring is the tree: every class, its status and its reason, no others."""
    lines = re.findall(
        r"[├└]── (\w+Error) +(\w+) +(\w+)$", ledger.errors.__doc__ or "", re.MULTILINE
    )
    assert sorted(lines) == sorted(
        (error.__name__, error.code.name, error.reason) for error in CLASSES
    )


def test_each_reason_has_one_class() -> None:
    """No two classes have the same reason."""
    reasons = [error.reason for error in CLASSES]
    assert len(set(reasons)) == len(reasons)


def test_each_reason_is_documented_in_the_proto() -> None:
    """What the service can answer stands in the API's comments."""
    proto = PROTO.read_text()
    assert [error.reason for error in CLASSES if not re.search(rf"\b{error.reason}\b", proto)] == []
