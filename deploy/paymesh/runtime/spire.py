"""SPIRE on one machine: configuration, registration entries, the first trust bundle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paymesh.errors import StartError
from paymesh.render import spire as rendered
from paymesh.runtime.files import write_file
from paymesh.runtime.launch import run_tool
from paymesh.runtime.postgres_settings import SPIRE_DATABASE
from paymesh.runtime.programs import Programs
from paymesh.runtime.workspace import Workspace, dsn

# What an entry is compared by; the server adds fields of its own.
_COMPARED = ("spiffe_id", "parent_id", "selectors", "dns_names", "x509_svid_ttl", "jwt_svid_ttl")


class Spire:
    """Server and agent of one home."""

    def __init__(self, workspace: Workspace, programs: Programs) -> None:
        self._workspace = workspace
        self._programs = programs
        paths = workspace.paths
        self._server, self._agent = paths.workload("spire-server"), paths.workload("spire-agent")

    @property
    def server_socket(self) -> Path:
        """The server's administration API: only its own uid and root reach it."""
        return self._server / "private.sock"

    @property
    def agent_socket(self) -> Path:
        """Workload API and SDS."""
        return self._agent / "api.sock"

    def prepare(self) -> None:
        """Writes both configurations; the server's holds a password and is 0400."""
        workspace = self._workspace
        mesh, paths, accounts = workspace.mesh, workspace.paths, workspace.accounts
        connection = dsn(paths, SPIRE_DATABASE, SPIRE_DATABASE, workspace.password(SPIRE_DATABASE))
        server = rendered.server_conf(
            mesh,
            data_dir=paths.data / "spire-server",
            socket=self.server_socket,
            connection_string=connection,
            node_ca=self._server / "node-ca.pem",
        )
        write_file(self._server / "server.conf", server, 0o400, accounts.of("spire-server"))
        agent = rendered.agent_conf(
            mesh,
            data_dir=paths.data / "spire-agent",
            socket=self.agent_socket,
            bundle=self._agent / "bundle.pem",
            certificate=self._agent / "node.crt",
            private_key=self._agent / "node.key",
            discover_workload_path=not accounts.separate,
        )
        write_file(self._agent / "agent.conf", agent, 0o400, accounts.of("spire-agent"))

    def server_argv(self) -> list[str | Path]:
        """How the server is started."""
        return [self._programs.spire_server, "run", "-config", self._server / "server.conf"]

    def agent_argv(self) -> list[str | Path]:
        """How the agent is started."""
        return [self._programs.spire_agent, "run", "-config", self._agent / "agent.conf"]

    async def write_bundle(self) -> None:
        """What the agent trusts at its first contact with the server."""
        bundle = await self._ask("bundle", "show", "-format", "pem")
        owner = self._workspace.accounts.of("spire-agent")
        write_file(self._agent / "bundle.pem", bundle, 0o444, owner)

    async def ensure_entries(self) -> None:
        """Makes the server's entries exactly those of deploy/mesh.yaml.

        Raises:
            StartError: the server refused one.
        """
        wanted = self._wanted()
        shown = json.loads(await self._ask("entry", "show", "-output", "json"))
        plan = compare(wanted, [_flat(entry) for entry in shown.get("entries", [])])
        for operation, entries in (("create", plan.create), ("update", plan.update)):
            if entries:
                text = json.dumps({"entries": entries})
                await self._ask("entry", operation, "-data", "-", stdin=text)
        for entry_id in plan.delete:
            await self._ask("entry", "delete", "-entryID", entry_id)
        if plan.create or plan.update:
            # The agent starts after this, and what it is told first is what it has for a
            # second: "ready" would come before the identities.
            await asyncio.sleep(rendered.CACHE_RELOAD_SECONDS)

    def _wanted(self) -> list[dict[str, Any]]:
        mesh = self._workspace.mesh
        selectors: list[Callable[[str], list[tuple[str, str]]]] = [rendered.uid_selectors(mesh)]
        if not self._workspace.accounts.separate:
            programs = self._programs
            selectors = [
                lambda workload: [("unix", f"path:{programs.envoy_of(workload)}")],
                lambda workload: [("unix", f"path:{programs.python_of(workload)}")],
            ]
        return [
            entry for select in selectors for entry in rendered.entries(mesh, select)["entries"]
        ]

    async def _ask(self, *arguments: str, stdin: str = "") -> str:
        return await run_tool(
            [
                self._programs.spire_server,
                *arguments[:2],
                *("-socketPath", self.server_socket),
                *arguments[2:],
            ],
            self._workspace.accounts.of("spire-server"),
            directory=self._server,
            stdin=stdin,
            timeout_seconds=20,
        )


class Plan:
    """What to do so that the server's entries are the wanted ones."""

    def __init__(self) -> None:
        self.create: list[dict[str, Any]] = []
        self.update: list[dict[str, Any]] = []
        self.delete: list[str] = []


def compare(wanted: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> Plan:
    """An entry stands for its SPIFFE ID with its selectors: where both are there and
    something else differs it is updated, so that its SVID is not withdrawn meanwhile.
    """
    plan = Plan()
    left = {_key(entry): entry for entry in found}
    duplicates = [entry for entry in found if left[_key(entry)] is not entry]
    for entry in wanted:
        same = left.pop(_key(entry), None)
        if same is None:
            plan.create.append(dict(entry))
        elif any(_normal(same.get(field)) != _normal(entry.get(field)) for field in _COMPARED):
            plan.update.append({**entry, "entry_id": same["entry_id"]})
    plan.delete = [entry["entry_id"] for entry in (*left.values(), *duplicates)]
    return plan


def _key(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["spiffe_id"], str(_normal(entry["selectors"]))


def _normal(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(json.dumps(item, sort_keys=True) for item in value)
    return value or None


def _flat(shown: dict[str, Any]) -> dict[str, Any]:
    """An entry of `entry show -output json` in the shape of `entry create -data`."""

    def name(value: dict[str, str]) -> str:
        return f"spiffe://{value['trust_domain']}{value['path']}"

    try:
        return {
            "entry_id": shown["id"],
            "spiffe_id": name(shown["spiffe_id"]),
            "parent_id": name(shown["parent_id"]),
            "selectors": [{"type": s["type"], "value": s["value"]} for s in shown["selectors"]],
            "dns_names": shown.get("dns_names", []),
            "x509_svid_ttl": int(shown.get("x509_svid_ttl", 0)),
            "jwt_svid_ttl": int(shown.get("jwt_svid_ttl", 0)),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise StartError(f"spire-server shows an entry that cannot be read: {error!r}") from error
