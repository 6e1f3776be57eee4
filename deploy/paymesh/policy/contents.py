"""The files of a bundle, before anything is signed.

`policies/paymesh/grants/data.yaml` becomes JSON here, so that the grants that
were checked are the grants that run, whatever two YAML parsers make of a line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from paymesh.errors import ConfigError

Files = dict[str, bytes]

ROOTS = ("paymesh", "system")
MAX_FILE_BYTES = 1 << 20


def contents(policies: Path, environment: Mapping[str, Any]) -> Files:
    """Path in the bundle → content: Rego without its tests, grants, index, environment.

    Raises:
        ConfigError: a file cannot be read, is too large or of a kind that has no
            place in a bundle.
    """
    files: Files = {}
    for root in ROOTS:
        for path in sorted((policies / root).rglob("*")):
            if path.is_dir() or path.name.endswith(("_test.rego", ".md")):
                continue
            name = path.relative_to(policies).as_posix()
            text = _read(path)
            if path.suffix == ".rego":
                files[name] = text
            elif path.name == "data.yaml":
                files[name.removesuffix(".yaml") + ".json"] = _json(_yaml(path, text))
            else:
                raise ConfigError(f"{path} is neither Rego nor data.yaml: move it elsewhere")
    files["paymesh/index/data.json"] = _json(_index(files))
    files["paymesh/environment/data.json"] = _json(environment)
    return files


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents, hexadecimal."""
    found = hashlib.sha256()
    for name, content in sorted(files.items()):
        for part in (name.encode(), content):
            found.update(len(part).to_bytes(8, "big"))
            found.update(part)
    return found.hexdigest()


def _index(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Grants by RPC and caller in the file's order, so that a decision is one look-up."""
    by_rpc: dict[str, dict[str, list[dict[str, Any]]]] = {}
    try:
        for grant in json.loads(files["paymesh/grants/data.json"])["grants"]:
            entry = {"id": grant["id"], "conditions": grant["conditions"]}
            by_rpc.setdefault(grant["rpc"], {}).setdefault(grant["caller"], []).append(entry)
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"policies/paymesh/grants/data.yaml: a grant lacks a field: {error}"
        ) from error
    return {"built": True, "grants": by_rpc}


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return content


def _yaml(path: Path, text: bytes) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error


def _json(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode() + b"\n"
