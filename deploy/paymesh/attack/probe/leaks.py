"""Secrets that lie open: files of others that can be read at a position."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from paymesh.attack.probe.agent.plan import ANSWERED, Errand, Result
from paymesh.attack.probe.attempts import nonce
from paymesh.attack.probe.ground import Staged

_DSN = "dsn"


def attempts(stage: Staged, position: str) -> list[tuple[str, Errand]]:
    """(credential, errand) for each file that holds one and is not the position's own.

    What a workload finds in its own directory is a credential that it has (`model.held_by`),
    not one that lies open.
    """
    own = stage.paths.workload(position) if position in stage.mesh.workloads else None
    return [
        (credential, {"id": nonce(), "kind": "read", "paths": [str(path)]})
        for credential, path in _files(stage)
        if path.parent != own
    ]


def secrets_of(tried: Sequence[tuple[str, Errand]], results: Sequence[Result]) -> dict[str, str]:
    """Credential → secret, of those that could be read."""
    by_id = {result["id"]: result for result in results}
    return {
        credential: _secret(errand["paths"][0], by_id[errand["id"]])
        for credential, errand in tried
        if by_id[errand["id"]]["state"] == ANSWERED
    }


def _files(stage: Staged) -> Iterator[tuple[str, Path]]:
    paths, mesh = stage.paths, stage.mesh
    for workload in mesh.workloads.values():
        directory = paths.workload(workload.name)
        if workload.database:
            credential = f"database:{workload.database}"
            yield credential, directory / _DSN
            yield credential, paths.password(workload.database)
        for external in workload.egress:
            yield f"provider:{external}", directory / f"{external}.key"
            yield f"provider:{external}", paths.secrets / f"{external}.key"
    for service in mesh.services():
        directory = paths.workload(service.name)
        yield f"decision-point:{service.name}", directory / "pdp-token"
        yield f"decision-point:{service.name}", paths.pdp_token(service.name)
        yield f"bundle:{service.name}", directory / "bundle-token"
        yield f"bundle:{service.name}", paths.secrets / f"bundle-token-{service.name}"


def _secret(path: str, result: Result) -> str:
    content = base64.b64decode(result.get("data", "")).decode("utf-8").strip()
    if Path(path).name != _DSN:
        return content
    return str(conninfo_to_dict(content).get("password", ""))
