"""`python -m paymesh.runtime.migrate`: applies one service's migrations.

A process of its own, because gRPC comes with meshkit and has no place in a
process that forks. Standard input: one line with the connection string, which
holds a password and so is no argument; the argument is the directory.
"""

from __future__ import annotations

import sys
from pathlib import Path

from meshkit import database


def main() -> int:
    """0 when every migration is applied; 1 and one line on standard error otherwise."""
    dsn = sys.stdin.readline().strip()
    try:
        database.migrate(dsn, Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 — whatever it was, it is one line for the user
        sys.stderr.write(" ".join(f"{type(error).__name__}: {error}".split()) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
