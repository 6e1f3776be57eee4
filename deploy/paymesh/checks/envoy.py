"""Each Envoy: live, with the committed configuration, and with its own SVID and no other."""

from __future__ import annotations

import http
import json
from collections.abc import Iterator
from typing import Any

import yaml

from paymesh.checks import unixhttp
from paymesh.checks.model import Context, Finding, Section
from paymesh.mesh import Workload, repository_root
from paymesh.render import readdress

_section = Section("envoy")


def check(context: Context) -> Iterator[Finding]:
    """Yields three findings for each Envoy."""
    for workload in context.mesh.sidecars():
        live = _live(context, workload)
        yield live
        yield _configuration(context, workload)
        if live.problem is None:
            yield _identity(context, workload)


def _live(context: Context, workload: Workload) -> Finding:
    name = f"{workload.name}'s Envoy is live"
    mend = f"see `paymesh logs {workload.name}-envoy`"
    try:
        status, body = unixhttp.get(context.paths.workload(workload.name) / "admin.sock", "/ready")
    except OSError as error:
        return _section.problem(name, f"its admin socket: {error}", mend)
    said = body.decode(errors="replace").strip()
    return _section.expect(name, None if status == http.HTTPStatus.OK else f"it says {said}", mend)


def _configuration(context: Context, workload: Workload) -> Finding:
    name = f"{workload.name}'s Envoy has the committed configuration"
    running = context.paths.workload(workload.name) / "envoy.yaml"
    committed = repository_root() / "envoy" / f"{workload.name}.yaml"
    try:
        found = yaml.safe_load(running.read_text("utf-8"))
        wanted = readdress(yaml.safe_load(committed.read_text("utf-8")), context.mesh)
    except OSError as error:
        return _section.problem(name, str(error), "run `paymesh up`")
    # Where traces go is the environment's business, not the repository's.
    return _section.expect(
        name,
        None if _without_tracing(found) == _without_tracing(wanted) else f"{running} differs",
        "run `make render`, then `paymesh down` and `paymesh up`",
    )


def _without_tracing(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: _without_tracing(value) for key, value in config.items() if key != "tracing"}
    if isinstance(config, list):
        kept = [
            item
            for item in config
            if not (isinstance(item, dict) and item.get("name") == "tracing")
        ]
        return [_without_tracing(item) for item in kept]
    return config


def _identity(context: Context, workload: Workload) -> Finding:
    name = f"{workload.name}'s Envoy has its own SVID and no other"
    mend = "see `paymesh logs spire-agent`"
    socket = context.paths.workload(workload.name) / "admin.sock"
    status, body = unixhttp.get(socket, "/certs")
    if status != http.HTTPStatus.OK:
        return _section.problem(name, f"/certs says {status}", mend)
    uris = {
        san["uri"]
        for certificate in json.loads(body).get("certificates", [])
        for chain in certificate.get("cert_chain", [])
        for san in chain.get("subject_alt_names", [])
        if "uri" in san
    }
    expected = {context.mesh.spiffe_id(workload.name)}
    return _section.expect(
        name, None if uris == expected else f"it has {sorted(uris) or 'none'}", mend
    )
