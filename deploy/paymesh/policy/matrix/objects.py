"""What is asked of the object decision: whose the object is, and of what kind or in what state.

Kinds and states are the values of the protos' enums that end in Kind or State, without their
prefix, as services state them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from google.protobuf import descriptor_pb2

from paymesh.policy.matrix.shapes import Axis, Choice, Class, Shape, short
from paymesh.policy.matrix.subjects import OTHER_SUBJECT, OTHER_TENANT, SUBJECT, TENANT

# No rule can know it, or the rules no longer refuse what they do not know.
UNKNOWN_ACTION = "unknown.action"

_RELATIONS = (
    Choice("own", {"tenant": TENANT, "owner": SUBJECT}),
    Choice("own without a tenant", {"owner": SUBJECT}),
    Choice("another's of the same tenant", {"tenant": TENANT, "owner": OTHER_SUBJECT}),
    Choice("another tenant's", {"tenant": OTHER_TENANT, "owner": OTHER_SUBJECT}),
    Choice("another tenant's of the same owner", {"tenant": OTHER_TENANT, "owner": SUBJECT}),
    Choice("nobody's", {}),
)
_SUFFIXES = ("Kind", "State")

# (the enum's name without its suffix, kind or state, its values)
Facts = tuple[tuple[str, str, tuple[str, ...]], ...]


def facts(descriptor_sets: Iterable[bytes]) -> Facts:
    """The kinds and states of all descriptor sets, sorted."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for descriptors in descriptor_sets:
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptors).file
        for enum in (enum for file in files for enum in file.enum_type):
            for suffix in _SUFFIXES:
                if enum.name.endswith(suffix):
                    values = found.setdefault((enum.name.removesuffix(suffix), suffix.lower()), {})
                    values |= {short(enum.name, v.name): None for v in enum.value if v.number}
    return tuple((noun, fact, tuple(values)) for (noun, fact), values in sorted(found.items()))


def shape(action: str, known: Facts) -> Shape:
    """What is tried of an action: every relation with every kind or state of its noun's enums,
    of all enums if the noun has none. `links.use` is of Link.
    """
    noun = action.partition(".")[0].removesuffix("s")
    own = [entry for entry in known if entry[0].lower() == noun] or list(known)
    stated = [Choice("no kind or state", {})]
    for _, fact, values in own:
        stated += [Choice(f"{fact} {value}", {fact: value}) for value in values]
    axes = (Axis((), _RELATIONS), Axis((), tuple(stated)))
    classes = tuple(
        Class(f"{relation.name}, {fact.name}", (relation, fact), relation.value | fact.value)
        for relation, fact in itertools.product(*(axis.choices for axis in axes))
    )
    return Shape(axes, classes)
