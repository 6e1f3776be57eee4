"""The files of a bundle, before anything is signed.

`policies/paymesh/grants/data.yaml` becomes JSON here, so that the grants that
were checked are the grants that run, whatever two YAML parsers make of a line.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from paymesh import yamltext
from paymesh.errors import ConfigError
from paymesh.grants import Grants, parse_grants

Files = dict[str, bytes]

# Where a bundle has what the mesh tells its policy.
ENVIRONMENT = "paymesh/environment/data.json"
ROOTS = ("paymesh", "system")
# Some 25,000 grants.
MAX_FILE_BYTES = 8 << 20

_GRANTS = "paymesh/grants/data.yaml"
_Made = TypeVar("_Made")


@dataclasses.dataclass(frozen=True)
class Contents:
    """What was read, once, from the files as they stood then.

    Attributes:
        files: path in the bundle → content: Rego without its tests, limits, index, environment.
        grants: the reviewers' file, from which `files` has the index.
        text: the reviewers' file as it is written.
    """

    files: Files
    grants: Grants
    text: bytes


class Cache:
    """What was made of a file's bytes, kept until its bytes are others.

    A file's time and size are not asked: two saves within one tick of the kernel's clock
    would look like one.
    """

    def __init__(self) -> None:
        self._made: dict[Path, tuple[bytes, Any]] = {}

    def made(self, path: Path, content: bytes, make: Callable[[Path, bytes], _Made]) -> _Made:
        """`make(path, content)`, or what that was when the content was the same."""
        known = self._made.get(path)
        if known is None or known[0] != content:
            known = self._made[path] = (content, make(path, content))
        made: _Made = known[1]
        return made


def contents(policies: Path, environment: Mapping[str, Any]) -> Files:
    """The files alone; see `read`."""
    return read(policies, environment, Cache()).files


def read(policies: Path, environment: Mapping[str, Any], cache: Cache) -> Contents:
    """What a bundle of this directory would hold, and what it came from.

    Names that begin with `.` or `#` or end with `~` are an editor's own and left out.

    Raises:
        ConfigError: a file cannot be read, is too large or of a kind that has no
            place in a bundle, or the reviewers' file is not as it should be.
    """
    files: Files = {}
    found: Contents | None = None
    for root in ROOTS:
        for path in sorted((policies / root).rglob("*")):
            if _is_left_out(path):
                continue
            name = path.relative_to(policies).as_posix()
            content = read_file(path)
            if name == _GRANTS:
                made, grants = cache.made(path, content, _grants)
                found = Contents(files, grants, content)
                files.update(made)
            elif path.suffix == ".rego":
                files[name] = content
            elif path.name == "data.yaml":
                files[name.removesuffix(".yaml") + ".json"] = cache.made(path, content, _data)
            else:
                raise ConfigError(f"{path} is neither Rego nor data.yaml: move it elsewhere")
    if found is None:
        raise ConfigError(f"{policies / _GRANTS} is missing")
    files[ENVIRONMENT] = _json(environment)
    return found


def read_file(path: Path) -> bytes:
    """A file of the policies.

    Raises:
        ConfigError: it cannot be read, or is larger than MAX_FILE_BYTES.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return content


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents, hexadecimal."""
    found = hashlib.sha256()
    for name, content in sorted(files.items()):
        for part in (name.encode(), content):
            found.update(len(part).to_bytes(8, "big"))
            found.update(part)
    return found.hexdigest()


def _is_left_out(path: Path) -> bool:
    is_editors = path.name.startswith((".", "#")) or path.name.endswith("~")
    return is_editors or path.is_dir() or path.name.endswith(("_test.rego", ".md"))


def _grants(path: Path, content: bytes) -> tuple[Files, Grants]:
    """The reviewers' file as decisions need it: all but the list of grants, which the index
    replaces, and the index of grants and closed RPCs, so that a decision is one look-up.
    """
    raw = _yaml(path, content)
    grants = parse_grants(raw, path)
    by_rpc: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for grant in grants.grants:
        entry = {"id": grant.id, "conditions": grant.conditions}
        by_rpc.setdefault(grant.rpc, {}).setdefault(grant.caller, []).append(entry)
    index = {"built": True, "grants": by_rpc, "closed": dict.fromkeys(grants.closed, True)}
    others = {name: value for name, value in raw.items() if name != "grants"}
    files = {"paymesh/grants/data.json": others, "paymesh/index/data.json": index}
    return {name: _json(value, path) for name, value in files.items()}, grants


def _data(path: Path, content: bytes) -> bytes:
    return _json(_yaml(path, content), path)


def _yaml(path: Path, content: bytes) -> Any:
    try:
        return yamltext.load(content)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error


def _json(value: Any, path: Path | None = None) -> bytes:
    try:
        text = json.dumps(
            value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
        return text.encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path} holds what JSON cannot: {error}") from error
