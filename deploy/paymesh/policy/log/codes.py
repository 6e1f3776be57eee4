"""The reason codes that a record may have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from pathlib import Path

from paymesh.errors import ConfigError

# What the decision point answers by itself, and the answers about objects.
ENGINE_CODES = ("DECISION_NOT_RECORDED", "REQUEST_UNREADABLE")
OBJECT_CODES = ("OBJECT_DENIED",)
_CODE = re.compile(r'^\t"([A-Z][A-Z0-9_]*)": \{', re.MULTILINE)


def known(root: Path) -> list[str]:
    """Every code: the policy's of the checkout below `root`, and the decision point's own.

    Raises:
        ConfigError: the policy's cannot be read.
    """
    path = root / "policies" / "paymesh" / "authz" / "reasons.rego"
    try:
        codes = _CODE.findall(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    return sorted({*codes, *ENGINE_CODES, *OBJECT_CODES})


def require(what: str, value: str, choices: Collection[str]) -> None:
    """Refuses a value that is none of the choices, and names what may have been meant.

    Args:
        what: such as "reason code".
        value: what was given.
        choices: what there is.

    Raises:
        ConfigError: it is none of them.
    """
    if value in choices:
        return
    by_folded = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(value.lower(), by_folded, n=3, cutoff=0.5)
    near += [key for key in by_folded if value.lower() in key and key not in near][:3]
    meant = " or ".join(by_folded[key] for key in near[:3])
    hint = f"did you mean {meant}?" if meant else f"there are {', '.join(sorted(choices))}"
    raise ConfigError(f"there is no {what} {value!r}: {hint}")
