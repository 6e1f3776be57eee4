"""`python -m paymesh.checker`: says what does not hold, one line each; exit code 1 if anything."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from paymesh.checker.repository import check


def main() -> int:
    """Checks the checkout that this code runs from, or PAYMESH_ROOT."""
    # Read here, not from paymesh.mesh: the checker shares no code.
    root = Path(os.environ.get("PAYMESH_ROOT") or Path(__file__).resolve().parents[3])
    found = check(root)
    for finding in found:
        sys.stdout.write(f"{finding}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
