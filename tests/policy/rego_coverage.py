"""Reads `opa test --coverage --format json` and fails on a line that no test reaches."""

from __future__ import annotations

import json
import sys


def main() -> int:
    """0, or 1 and `file:line` of every line missed."""
    report = json.load(sys.stdin)
    missed = [
        f"{path}:{row}: no test reaches this line"
        for path, found in sorted(report["files"].items())
        for missing in found.get("not_covered", [])
        for row in range(missing["start"]["row"], missing["end"]["row"] + 1)
    ]
    sys.stderr.writelines(f"{line}\n" for line in missed)
    return 1 if missed or not report["files"] else 0


if __name__ == "__main__":
    sys.exit(main())
