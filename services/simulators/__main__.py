"""`python -m simulators --help` says how it is started."""

from __future__ import annotations

import asyncio
import sys

from simulators.errors import StartError
from simulators.options import parse
from simulators.server import serve


def main() -> int:
    """Serves until SIGTERM or SIGINT; 1 and one sentence when it cannot start."""
    try:
        asyncio.run(serve(parse(sys.argv[1:])))
    except StartError as error:
        print(f"simulators: {error}", file=sys.stderr)  # noqa: T201 - no log is set up yet
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
