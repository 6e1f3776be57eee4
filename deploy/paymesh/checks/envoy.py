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
from paymesh.runtime.files import read_regular

_LONGEST_CONFIG_BYTES = 4 << 20
_DEEPEST = 100
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
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
        found = _plain_yaml(read_regular(running, _LONGEST_CONFIG_BYTES))
        wanted = readdress(_plain_yaml(committed.read_bytes()), context.mesh)
    except OSError as error:
        return _section.problem(name, str(error), "run `paymesh up`")
    except (yaml.YAMLError, ValueError, RecursionError):
        # Not what the parser says: it quotes.
        return _section.problem(name, f"{running} cannot be read as YAML", "run `paymesh up`")
    # Where traces go is the environment's business, not the repository's.
    return _section.expect(
        name,
        None if _without_tracing(found) == _without_tracing(wanted) else f"{running} differs",
        "run `make render`, then `paymesh down` and `paymesh up`",
    )


def _plain_yaml(text: bytes) -> Any:
    """YAML as it is rendered. A few lines of aliases could stand for gigabytes, and libyaml's
    loader has no end of what it nests but that of its stack.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST or isinstance(event, yaml.AliasEvent):
            raise ValueError("it is none that was rendered")
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 — both are safe loaders


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
    try:
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
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # The socket is the workload's own: whoever answers there may say anything.
        return _section.problem(name, f"/certs cannot be read: {type(error).__name__}", mend)
    expected = {context.mesh.spiffe_id(workload.name)}
    return _section.expect(
        name, None if uris == expected else f"it has {sorted(uris) or 'none'}", mend
    )
