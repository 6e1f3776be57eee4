"""The graph of docs/attack-paths.md from configuration alone.

    site       the files of one checkout
    oracle     its policy, asked through OPA
    machine    uids, groups and modes: who may open what
    doors      Envoys' listeners: who is let in, and as whom
    routes, filters, passage    where a call goes from there, and what becomes of it
    apps, messages              what the services do with it
    calls, others, graph        the cells

Shares no code with what is computed here: neither with the probes and the arms, nor with the
generator of the configuration or its checker.
"""

from paymesh.attack.computed.graph import computed

__all__ = ["computed"]
