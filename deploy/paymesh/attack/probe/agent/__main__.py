"""`python -m paymesh.attack.probe.agent < plan.json > report.json`."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from paymesh.attack.probe.agent.calls import Calls
from paymesh.attack.probe.agent.connections import Connector
from paymesh.attack.probe.agent.errands import Errands
from paymesh.attack.probe.agent.plan import Plan, Report

_AT_ONCE = 4


def main() -> int:
    """Does what the plan on standard input says; 0 when all of it was tried."""
    plan: Plan = json.load(sys.stdin)
    connector = Connector(plan["certificates"])
    calls, errands = Calls(connector, plan["headers"]), Errands(connector)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        talks = pool.map(calls.carry_out, plan["conversations"])
        runs = pool.map(errands.carry_out, plan["errands"])
        report: Report = {"results": [result for talk in talks for result in talk]}
        report["results"] += runs
    json.dump(report, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
