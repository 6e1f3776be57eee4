"""Every cell of docs/attack-paths.md, tried for real against a running arm.

    agent      what runs at a position: it does as its plan says and reports what came back
    measure    plans, runs the agents, collects evidence at the targets, makes the graph

Nothing is imported here: the agent has to start fast, and from little.
"""
