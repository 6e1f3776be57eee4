"""Calls that could be taken for a granted one and are none: each RPC in each disguise.

What the policy reads must be what the service reads. Another content type, a compressed
message or a path that somebody unescapes or trims could be two things at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from paymesh.policy.matrix.shapes import Axis, Choice, Class, Shape

NAME = "not a plain gRPC call"

# What differs from a plain call. `behind` is put behind the path.
_DISGUISES = (
    Choice("by GET", {"method": "GET"}),
    Choice("as JSON", {"content-type": "application/json"}),
    Choice("compressed", {"grpc-encoding": "gzip"}),
    Choice("with a query", {"behind": "?x=1"}),
    Choice("with a slash behind", {"behind": "/"}),
)


def shape(rpcs: Iterable[tuple[str, Shape]]) -> Shape:
    """Each RPC with a message that has its fields, in each disguise."""
    messages = {path: _filled(one) for path, one in rpcs}
    calls = tuple(Choice(path.rpartition(".")[2], path) for path in messages)
    axes = (Axis((), calls), Axis((), _DISGUISES))
    classes = tuple(
        Class(
            f"{call.name} {disguise.name}",
            (call, disguise),
            messages[call.value],
            disguise={"path": call.value, **disguise.value},
        )
        for call, disguise in itertools.product(*(axis.choices for axis in axes))
    )
    return Shape(axes, classes)


def _filled(of: Shape) -> object:
    return next((one.body for one in of.classes if one.body), {})
