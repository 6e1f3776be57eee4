"""A call, and the messages that are sent: about objects that exist and belong to alice of acme.

The messages stand in deploy/attack/requests.yaml. What exists is no configuration: it is what
the probes plant.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format, message_factory

from paymesh.calls import Catalogue
from paymesh.errors import ConfigError
from paymesh.mesh import read_yaml

TENANT, OWNER = "acme", "alice"
AUTHORIZATION = "authorization"

PAYMENTS = "/paymesh.payments.v1.PaymentsService/"
LEDGER = "/paymesh.ledger.v1.LedgerService/"
LINKS = "/paymesh.bank_link.v1.BankLinkService/"
HEALTH = "/grpc.health.v1.Health/"

NOT_READ = "null"
# In the place of every id that is planted or made fresh: no rule looks at one.
_ID = "8e5ba73c-2b84-4b3f-9d5e-2f7a4dfb0b8c"
_PLACEHOLDER = re.compile(r"\{[a-z_]+\}")


@dataclasses.dataclass(frozen=True)
class Call:
    """A request as it is on the wire somewhere.

    Attributes:
        path: the RPC.
        authority: host that is called.
        body: the message as protojson, `null` where none can be read.
        headers: lower-case name → value, sorted; `authorization` has the name of the user
            whose token it is.
        is_grpc: else it is HTTP for somebody outside the mesh.
    """

    path: str
    authority: str
    body: str = NOT_READ
    headers: tuple[tuple[str, str], ...] = ()
    is_grpc: bool = True

    @property
    def user(self) -> str | None:
        """Whose token comes along."""
        return dict(self.headers).get(AUTHORIZATION)

    def having(self, headers: Mapping[str, str]) -> Call:
        """The same with exactly these headers."""
        return dataclasses.replace(self, headers=tuple(sorted(headers.items())))


def as_body(**fields: object) -> str:
    """A message as protojson, with the fields that matter."""
    return json.dumps(fields, sort_keys=True)


def read_messages(root: Path) -> dict[str, tuple[str, ...]]:
    """RPC → the messages that are tried, as protojson: each is right for somebody who may make
    the call.

    Raises:
        ConfigError: the file cannot be read, or holds what is no message of an RPC.
    """
    path = root / "deploy" / "attack" / "requests.yaml"
    catalogue, found = Catalogue.load(root), read_yaml(path)
    try:
        return {
            rpc: tuple(_protojson(catalogue, rpc, message) for message in messages)
            for rpc, messages in found.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError, json_format.ParseError) as error:
        raise ConfigError(f"{path} holds what is no message: {error!r}") from error


def _protojson(catalogue: Catalogue, rpc: str, message: Any) -> str:
    service, _, name = rpc.removeprefix("/").partition("/")
    method = catalogue.service(service).methods_by_name[name]
    if method.client_streaming:
        return NOT_READ
    filled = json.loads(_PLACEHOLDER.sub(_ID, json.dumps(message)))
    made = json_format.ParseDict(filled, message_factory.GetMessageClass(method.input_type)())
    return json.dumps(json_format.MessageToDict(made), sort_keys=True)
