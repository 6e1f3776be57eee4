"""What a generator may send at one door: requests that exist, and who sends them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor, json_format, message_factory

from paymesh.calls import Catalogue
from paymesh.mesh import read_yaml

# A token has another text in each run. Sequences have this of the same length in its place, so
# that they are the same in each run, and a file of them holds no token.
_PLACEHOLDER = b"the-users-token."
_VARIABLE = re.compile(r"\{([a-z_]+)\}")
_VERBS = ("get", "post", "put", "delete", "patch")
_NAMES = {
    name: f"0f022a55-0000-4000-8000-{number:012d}"
    for number, name in enumerate(("merchant", "clearing", "payment", "link", "removed_link"))
}


@dataclasses.dataclass(frozen=True)
class Rest:
    """A call as HTTP: `body` is JSON, empty where the method has none."""

    method: str
    path: str
    body: bytes


@dataclasses.dataclass(frozen=True)
class Call:
    """An RPC by its whole path, and a request of it that is well formed; as HTTP, if it has that
    form.
    """

    rpc: str
    body: bytes
    rest: Rest | None = None


@dataclasses.dataclass(frozen=True)
class Menu:
    """What can be asked for at a door.

    Attributes:
        door: its name.
        authority: the name that requests bear.
        forbidden: what this caller may not ask for, at any workload that stands behind it.
        allowed: what it may.
        speaks_json: whether calls as HTTP are taken too.
        token_bytes: length of the user's token that the caller has; 0 when it has none.
        weight: how often the door is tried, against the others.
    """

    door: str
    authority: str
    forbidden: tuple[Call, ...]
    allowed: tuple[Call, ...] = ()
    speaks_json: bool = False
    token_bytes: int = 0
    weight: int = 1

    @property
    def token(self) -> bytes:
        """What stands for the user's token."""
        return placeholder(self.token_bytes)


def placeholder(length: int) -> bytes:
    """What stands for a token of this many bytes."""
    return (_PLACEHOLDER * (length // len(_PLACEHOLDER) + 1))[:length]


def calls(root: Path) -> dict[str, tuple[Call, ...]]:
    """Every RPC with requests of it, from deploy/attack/requests.yaml. What they name does not
    exist: a call that gets through fails in the app, and that it got there is what counts.

    Raises:
        ConfigError: the file cannot be read, or has what is no request.
    """
    catalogue = Catalogue.load(root)
    found: dict[str, tuple[Call, ...]] = {}
    written = read_yaml(root / "deploy" / "attack" / "requests.yaml")
    for rpc, requests in sorted(written.items()):
        method = catalogue.method(rpc)
        kind = message_factory.GetMessageClass(method.input_type)
        made = []
        for number, request in enumerate(requests):
            fresh = {"uuid": f"0f022a55-0000-4000-9000-{number:012d}", "word": "fuzzfuzzfuzz"}
            filled = _filled(request, {**_NAMES, **fresh})
            message = json_format.ParseDict(filled, kind())
            body = message.SerializeToString(deterministic=True)
            made.append(Call(rpc, body, _rest(method, filled)))
        found[rpc] = tuple(made)
    return found


def _rest(method: descriptor.MethodDescriptor, request: Any) -> Rest | None:
    """The call with this request (as from JSON); None when it has no such form."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = next((verb for verb in _VERBS if getattr(rule, verb)), None)
    if verb is None:
        return None
    left = dict(request)
    path = _VARIABLE.sub(lambda found: str(left.pop(found[1], "x")), getattr(rule, verb))
    return Rest(verb.upper(), path, json.dumps(left).encode() if rule.body else b"")


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    return value.format_map(names) if isinstance(value, str) else value
