"""`python -m paymesh.attack.probe.agent < plan.json > report.json`."""

from __future__ import annotations

import json
import sys

from paymesh.attack.probe.agent.work import carry_out


def main() -> int:
    """Does what the plan on standard input says; 0 when all of it was tried."""
    json.dump(carry_out(json.load(sys.stdin)), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
