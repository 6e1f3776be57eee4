"""All of a plan, a few things at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from paymesh.attack.probe.agent.calls import Calls
from paymesh.attack.probe.agent.connections import Connector
from paymesh.attack.probe.agent.errands import Errands
from paymesh.attack.probe.agent.plan import Plan, Report

# Most of them wait for somebody to close a connection; how many ask at once is `calls`' matter.
_AT_ONCE = 32


def carry_out(plan: Plan) -> Report:
    """A result for each call and each errand."""
    connector = Connector(plan["certificates"])
    calls, errands = Calls(connector, plan["headers"]), Errands(connector)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        talks = pool.map(calls.carry_out, plan["conversations"])
        runs = pool.map(errands.carry_out, plan["errands"])
        return {"results": [*(result for talk in talks for result in talk), *runs]}
