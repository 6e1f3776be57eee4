"""Canary objects, and requests about them that would succeed for whoever may make them.

Everything belongs to alice of acme or, where a user owns nothing of the kind, to acme. It is
planted through the gateway, as users do it; the requests are those of deploy/attack/requests.yaml.
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format, message_factory

from paymesh import dial
from paymesh.calls import Catalogue
from paymesh.errors import ConfigError, StartError
from paymesh.mesh import Mesh, read_yaml
from paymesh.paths import Paths

TENANT, OWNER = "acme", "alice"
REQUESTS = Path("deploy/attack/requests.yaml")

_STAFF, _AUDITOR = "olivia", "audrey"
_CURRENCY = "EUR"
# What a customer may pay at once: so many refunds of a cent.
_PAID_MINOR_UNITS = 1_000_000
_NAMESPACE = uuid.UUID("5d0d8a7e-5b0c-4c39-9f5e-0f6a2f5a7c11")
_HOLE = re.compile(r"\{([^{}]*)\}")
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


class Requests:
    """deploy/attack/requests.yaml of a checkout, with its descriptors."""

    def __init__(self, root: Path) -> None:
        """Reads the two.

        Raises:
            ConfigError: the file cannot be read, or is no list of messages for each RPC.
        """
        self.catalogue = Catalogue.load(root)
        self._bodies: Mapping[str, list[dict[str, Any]]] = read_yaml(root / REQUESTS)
        for rpc, bodies in self._bodies.items():
            if not bodies or not isinstance(bodies, list) or not all(map(_is_message, bodies)):
                raise ConfigError(f"{REQUESTS}: {rpc} has no list of messages")

    @property
    def rpcs(self) -> list[str]:
        """Every RPC that there is a request for."""
        return list(self._bodies)

    def serialised(self, rpc: str, values: Mapping[str, str], nonce: str) -> tuple[bytes, ...]:
        """The RPC's requests.

        Args:
            rpc: `/package.Service/Method`.
            values: for the placeholders, by name.
            nonce: what `uuid` and `word` are made of.

        Raises:
            ConfigError: there is none, or it is not the RPC's message.
        """
        bodies = self._bodies.get(rpc)
        if bodies is None:
            raise ConfigError(f"{REQUESTS} has no request for {rpc}: add one")
        service, _, method = rpc.removeprefix("/").partition("/")
        made = []
        for number, body in enumerate(bodies):
            seed = f"{rpc}/{number}/{nonce}"
            fresh = uuid.uuid5(_NAMESPACE, seed)
            word = fresh.hex.translate(_LETTERS)
            try:
                kind = self.catalogue.service(service).methods_by_name[method].input_type
                filled = _filled(body, {**values, "uuid": str(fresh), "word": word})
                message = json_format.ParseDict(filled, message_factory.GetMessageClass(kind)())
            except (KeyError, ValueError, json_format.ParseError) as error:
                raise ConfigError(f"{REQUESTS}: {rpc}: {error}") from error
            made.append(message.SerializeToString())
        return tuple(made)


@dataclasses.dataclass(frozen=True)
class Plants:
    """What was planted, and the requests about it.

    Attributes:
        merchant: account id of acme's merchant account in EUR.
        clearing: account id of acme's clearing account in EUR.
        payment: a payment of alice's to `merchant`, large enough for any number of refunds of
            a cent.
        link: a bank link of alice's, verified.
        removed_link: a bank link of alice's that was removed; removing it again is as good as
            the first time, so that no probe takes another's link away.
    """

    merchant: str
    clearing: str
    payment: str
    link: str
    removed_link: str
    _requests: Requests = dataclasses.field(repr=False)

    def request(self, rpc: str, nonce: str) -> bytes:
        """The first of `requests`."""
        return self.requests(rpc, nonce)[0]

    def requests(self, rpc: str, nonce: str) -> tuple[bytes, ...]:
        """The serialised requests of an RPC that would succeed for somebody who may make it:
        more than one where those who may make it may not make the same.

        Args:
            rpc: `/package.Service/Method` of any service of the mesh, health and reflection
                included.
            nonce: of one probe: its ids and idempotency keys are made of it, so that no two
                probes make the same request.

        Raises:
            ConfigError: deploy/attack/requests.yaml has none.
        """
        names = ("merchant", "clearing", "payment", "link", "removed_link")
        return self._requests.serialised(rpc, {name: getattr(self, name) for name in names}, nonce)


def plant(paths: Paths, mesh: Mesh, root: Path) -> Plants:
    """Plants everything in a mesh that is up; again and again makes new accounts, payments
    and links.

    Args:
        paths: of its home.
        mesh: whose gateway is asked.
        root: the checkout that it runs from.

    Raises:
        StartError: something was refused: the mesh does not work as it should.
    """
    requests = Requests(root)
    with dial.gateway(paths, mesh) as channel:
        gardener = _Gardener(paths, mesh, requests.catalogue, channel)
        merchant = gardener.merchant()
        payment = gardener.payment(merchant)
        removed, link = gardener.link(), gardener.link()
        gardener.ask(OWNER, "bank-link/RemoveLink", {"link_id": removed})
        return Plants(merchant, gardener.clearing(), payment, link, removed, requests)


class _Gardener:
    """Calls through the gateway that have to succeed."""

    def __init__(
        self, paths: Paths, mesh: Mesh, catalogue: Catalogue, channel: grpc.Channel
    ) -> None:
        self._paths, self._mesh = paths, mesh
        self._catalogue, self._channel = catalogue, channel

    def ask(self, user: str, rpc: str, request: Mapping[str, Any]) -> Any:
        metadata = dial.user_metadata(self._paths, self._mesh, user)
        reply = self._catalogue.send(self._channel, rpc, request, metadata=metadata)
        if not reply.ok:
            shown = json.dumps(reply.as_json())
            raise StartError(f"{user} cannot make {rpc}, which was to be planted: {shown}")
        return reply.body

    def merchant(self) -> str:
        request = {
            "request_id": str(uuid.uuid4()),
            "legal_entity": TENANT,
            "kind": "ACCOUNT_KIND_MERCHANT",
            "currency_code": _CURRENCY,
        }
        return str(self.ask(_STAFF, "ledger/OpenAccount", request)["account"]["account_id"])

    def payment(self, merchant: str) -> str:
        request = {
            "idempotency_key": str(uuid.uuid4()),
            "amount": {"currency_code": _CURRENCY, "minor_units": str(_PAID_MINOR_UNITS)},
            "payment_method_token": "tok_visa",
            "merchant_account_id": merchant,
        }
        return str(self.ask(OWNER, "payments/CreatePayment", request)["payment"]["payment_id"])

    def link(self) -> str:
        """A verified bank link of the owner's."""
        fresh = uuid.uuid4()
        request = {
            "request_id": str(fresh),
            "institution_id": "ins_first_platypus",
            "public_token": f"public-sandbox-success-{fresh.hex.translate(_LETTERS)}",
        }
        link_id = self.ask(OWNER, "bank-link/CreateLink", request)["link"]["link_id"]
        link = self.ask(OWNER, "bank-link/VerifyLink", {"link_id": link_id})["link"]
        if link["state"] != "LINK_STATE_SUCCESS":
            raise StartError(f"the planted bank link is not verified but {link['state']}")
        return str(link_id)

    def clearing(self) -> str:
        """The account that the first payment has opened."""
        request = {"legal_entity": TENANT, "page_size": 1000}
        found = self.ask(_AUDITOR, "ledger/ListBalances", request)["balances"]
        for account in (balance["account"] for balance in found):
            kind, currency = account["kind"], account["currency_code"]
            if (kind, currency) == ("ACCOUNT_KIND_CLEARING", _CURRENCY):
                return str(account["account_id"])
        raise StartError(f"{TENANT} has no clearing account after its first payment")


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """The value with the placeholders in its texts replaced."""
    if isinstance(value, dict):
        return {key: _filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    return _HOLE.sub(lambda found: names[found[1]], value) if isinstance(value, str) else value


def _is_message(body: object) -> bool:
    return isinstance(body, dict)
