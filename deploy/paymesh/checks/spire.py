"""SPIRE: server and agent answer, the node is attested, the entries are the rendered ones."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paymesh import binaries
from paymesh.checks.model import Context, Finding, Section
from paymesh.mesh import repository_root

_TIMEOUT_SECONDS = 15
_section = Section("spire")


def check(context: Context) -> Iterator[Finding]:
    """Yields what the server and the agent say of themselves."""
    server = context.paths.workload("spire-server") / "private.sock"
    agent = context.paths.workload("spire-agent") / "api.sock"
    for name, socket in (("spire-server", server), ("spire-agent", agent)):
        done = _run(context, name, socket, "healthcheck")
        yield _section.expect(
            f"{name} is healthy",
            None if done.returncode == 0 else _last_line(done),
            f"see `paymesh logs {name}`; `paymesh up` starts it again",
        )
    yield _attested(context, server)
    yield _entries(context, server)


def _attested(context: Context, socket: Path) -> Finding:
    name = "this machine's agent is attested"
    done = _run(context, "spire-server", socket, "agent", "list", "-output", "json")
    mend = "see `paymesh logs spire-agent`, then `paymesh down` and `paymesh up`"
    if done.returncode != 0:
        return _section.problem(name, _last_line(done), mend)
    agents = json.loads(done.stdout).get("agents", [])
    alive = [agent for agent in agents if int(agent["x509svid_expires_at"]) > time.time()]
    return _section.expect(name, None if alive else "no agent has a valid identity", mend)


def _entries(context: Context, socket: Path) -> Finding:
    name = "registration entries are those of spire/entries.json"
    done = _run(context, "spire-server", socket, "entry", "show", "-output", "json")
    if done.returncode != 0:
        return _section.problem(name, _last_line(done), "see `paymesh logs spire-server`")
    registered = {_shown(entry, context) for entry in json.loads(done.stdout).get("entries", [])}
    path = repository_root() / "spire" / "entries.json"
    rendered = {
        _written(entry, context) for entry in json.loads(path.read_text("utf-8"))["entries"]
    }
    differing = sorted({line[0] for line in registered ^ rendered})
    return _section.expect(
        name,
        f"these differ: {', '.join(differing)}" if differing else None,
        "run `paymesh up`: it sets them; find out who changed them",
    )


def _shown(entry: dict[str, Any], context: Context) -> tuple[str, ...]:
    identity = entry["spiffe_id"]
    spiffe_id = f"spiffe://{identity['trust_domain']}{identity['path']}"
    return (spiffe_id, *_rest(entry, context))


def _written(entry: dict[str, Any], context: Context) -> tuple[str, ...]:
    return (entry["spiffe_id"], *_rest(entry, context))


def _rest(entry: dict[str, Any], context: Context) -> tuple[str, ...]:
    names = sorted(entry.get("dns_names", []))
    if not context.separate_uids:
        # Without root the selectors are paths below this home, not the rendered uids.
        return tuple(names)
    selectors = sorted(f"{s['type']}:{s['value']}" for s in entry["selectors"])
    return (*names, *selectors)


def _run(
    context: Context, program: str, socket: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(binaries.built(context.paths, program)), *arguments, "-socketPath", str(socket)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
    )


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"it exited with {done.returncode}"
