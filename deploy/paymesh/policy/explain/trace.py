"""OPA's trace of an evaluation, for people: what was entered and what failed, with its source."""

from __future__ import annotations

import re
from collections.abc import Mapping

# `/paymesh/authz/decision.rego:44        | | Fail data.paymesh.…`, as OPA prints it.
_LINE = re.compile(r"^/?(\S+\.rego):(\d+)\s+((?:\| )*)(Enter|Exit|Fail) (.*)$")
_RULES = "data.paymesh."
_INDENT = "  "
_MOST_LINES = 400


def readable(trace: str, files: Mapping[str, bytes]) -> str:
    """The trace without repetitions: `→` a rule that is tried, `✗` a line of it that does not
    hold, `=` a rule that came out. Each line is the policy's own, with its place.

    Args:
        trace: as `paymesh-pdp decide --trace` prints it.
        files: of the policy, by name.
    """
    source = {
        name: content.decode(errors="replace").splitlines()
        for name, content in files.items()
        if name.endswith(".rego")
    }
    shown: list[str] = []
    for line in trace.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        file, row, bars, event, what = match.groups()
        sign = {"Enter": "→", "Exit": "=", "Fail": "✗"}[event]
        lines = source.get(file, [])
        text = lines[int(row) - 1].strip() if 0 < int(row) <= len(lines) else what
        if event == "Exit":
            text = what.removesuffix(" early")
            if not text.startswith(_RULES):
                continue  # of an expression, not of a rule
            text = text.removeprefix(_RULES)
        place = f"policies/{file}:{row}"
        said = f"{place:<46} {_INDENT * (len(bars) // 2)}{sign} {text}"
        if not shown or shown[-1] != said:
            shown.append(said)
    if len(shown) > _MOST_LINES:
        shown = [*shown[:_MOST_LINES], f"… and {len(shown) - _MOST_LINES} more lines"]
    return "\n".join(shown)
