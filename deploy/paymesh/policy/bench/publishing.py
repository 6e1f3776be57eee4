"""`python -m paymesh.policy.bench.publishing DIRECTORY`: the publisher of a site, until ended."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from paymesh.policy import edits
from paymesh.policy.bench.site import Site


def main() -> None:
    """Publishes after every edit."""
    asyncio.run(edits.follow(Site(Path(sys.argv[1])).settings()))


if __name__ == "__main__":
    main()
