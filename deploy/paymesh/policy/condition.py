"""What a decision point says of itself: OPA's status API, GET /v1/status.

Asking it leaves no decision in the log, as a question to the policy would.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

TARGET = "/v1/status"
# Most of it are metrics.
MAX_BYTES = 1 << 20

DECISION_LOG = "paymesh_decision_log"
SHIPPING = "paymesh_decision_shipping"
SHADOW = "paymesh_shadow"
_BUNDLE = "paymesh"
_LONGEST = 400
# As the kernel words ENOSPC, EDQUOT and EFBIG.
_NO_ROOM = ("no space left on device", "disk quota exceeded", "file too large")


@dataclasses.dataclass(frozen=True)
class Condition:
    """How a decision point is, in its own words.

    Attributes:
        revision: of the policy that it enforces; None when it has none.
        refused: why it did not take what it was offered last; None when it did.
        faults: plugins that are not as they should be, and what each says.
        notes: plugins that are, and what each says all the same; mostly nothing.
    """

    revision: str | None
    refused: str | None = None
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def unrecorded(self) -> str | None:
        """Why the last decision could not be recorded; None when it was."""
        return self.faults.get(DECISION_LOG)


def is_full(words: str) -> bool:
    """Whether what a decision log says is that there is no room left."""
    return any(known in words for known in _NO_ROOM)


def read(found: Any) -> Condition:
    """The condition in an answer of the status API; what is of another form is left out."""
    result = _member(found, "result")
    bundle = _member(_member(result, "bundles"), _BUNDLE)
    revision = _member(bundle, "active_revision")
    found_plugins = _member(result, "plugins")
    plugins = found_plugins if isinstance(found_plugins, dict) else {}
    return Condition(
        revision=revision if isinstance(revision, str) and revision else None,
        refused=_refusal(bundle),
        faults={
            name: _fault(plugin)
            for name, plugin in plugins.items()
            if _member(plugin, "state") != "OK"
        },
        notes={
            name: _line(str(_member(plugin, "message") or ""))
            for name, plugin in plugins.items()
            if _member(plugin, "state") == "OK"
        },
    )


def _refusal(bundle: Any) -> str | None:
    """With the first of the compiler's errors, which says more than the message."""
    if not _member(bundle, "code"):
        return None
    errors = _member(bundle, "errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    place, words = _member(first, "location"), _member(first, "message")
    if isinstance(words, str) and isinstance(place, dict):
        said = f"{place.get('file')}:{place.get('row')}: {words}"
    else:
        said = str(_member(bundle, "message") or _member(bundle, "code"))
    return _line(said)


def _fault(plugin: Any) -> str:
    return _line(str(_member(plugin, "message") or _member(plugin, "state") or "no state"))


def _line(text: str) -> str:
    """On one line, and not longer than one wants to read."""
    return " ".join(text.split())[:_LONGEST]


def _member(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, dict) else None
