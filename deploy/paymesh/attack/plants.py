"""Canary objects, and requests about them that would succeed for whoever may make them.

Everything belongs to alice of acme or, where a user owns nothing of the kind, to acme. It is
planted through the gateway, as users do it.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf import json_format, message_factory

from paymesh import dial
from paymesh.calls import Catalogue, Reply
from paymesh.errors import StartError
from paymesh.mesh import Mesh
from paymesh.paths import Paths

TENANT, OWNER = "acme", "alice"
_STAFF, _AUDITOR = "olivia", "audrey"
_CURRENCY = "EUR"
# What a customer may pay at once: so many refunds of a cent.
_PAID_MINOR_UNITS = 1_000_000
_CENT = {"currency_code": _CURRENCY, "minor_units": "1"}
_NAMESPACE = uuid.UUID("5d0d8a7e-5b0c-4c39-9f5e-0f6a2f5a7c11")
# No digits: a run of them can pass for a card number, which is refused.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


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
    _catalogue: Catalogue = dataclasses.field(repr=False)

    def request(self, rpc: str, nonce: str) -> bytes:
        """The first of `requests`."""
        return self.requests(rpc, nonce)[0]

    def requests(self, rpc: str, nonce: str) -> tuple[bytes, ...]:
        """The serialised requests of an RPC that would succeed for somebody who may make it:
        more than one where those who may make it may not make the same.

        Args:
            rpc: `/package.Service/Method` of any service of the mesh, health and reflection
                included. Health and reflection do not depend on the nonce.
            nonce: of one probe: ids and idempotency keys are made of it, so that each probe's
                request is another one.

        Raises:
            KeyError: nothing was planted for this RPC.
        """
        bodies = _REQUESTS[rpc](self, nonce)
        service, _, method = rpc.removeprefix("/").partition("/")
        kind = self._catalogue.service(service).methods_by_name[method].input_type
        message = message_factory.GetMessageClass(kind)
        return tuple(json_format.ParseDict(body, message()).SerializeToString() for body in bodies)


def known_rpcs() -> list[str]:
    """Every RPC that there is a request for."""
    return list(_REQUESTS)


def plant(paths: Paths, mesh: Mesh, catalogue: Catalogue) -> Plants:
    """Plants everything in a mesh that is up; again and again makes new payments and links.

    Raises:
        StartError: something was refused: the mesh does not work as it should.
    """
    with dial.gateway(paths, mesh) as channel:
        gardener = _Gardener(paths, mesh, catalogue, channel)
        merchant = gardener.ask(
            _STAFF,
            "ledger/OpenAccount",
            _opening(_fresh("merchant", "planted"), "ACCOUNT_KIND_MERCHANT"),
        )["account"]["account_id"]
        payment = gardener.ask(
            OWNER,
            "payments/CreatePayment",
            {
                "idempotency_key": _key(uuid.uuid4().hex),
                "amount": {**_CENT, "minor_units": str(_PAID_MINOR_UNITS)},
                "payment_method_token": "tok_visa",
                "merchant_account_id": merchant,
            },
        )["payment"]["payment_id"]
        removed = gardener.link()
        gardener.ask(OWNER, "bank-link/RemoveLink", {"link_id": removed})
        return Plants(merchant, gardener.clearing(), payment, gardener.link(), removed, catalogue)


class _Gardener:
    """Calls through the gateway that have to succeed."""

    def __init__(
        self, paths: Paths, mesh: Mesh, catalogue: Catalogue, channel: grpc.Channel
    ) -> None:
        self._paths, self._mesh = paths, mesh
        self._catalogue, self._channel = catalogue, channel

    def ask(self, user: str, rpc: str, request: Mapping[str, Any]) -> Any:
        metadata = dial.user_metadata(self._paths, self._mesh, user)
        reply: Reply = self._catalogue.send(self._channel, rpc, request, metadata=metadata)
        if not reply.ok:
            shown = json.dumps(reply.as_json())
            raise StartError(f"{user} cannot make {rpc}, which was to be planted: {shown}")
        return reply.body

    def link(self) -> str:
        """A verified bank link of the owner's."""
        request = _linking(uuid.uuid4().hex)
        link_id = self.ask(OWNER, "bank-link/CreateLink", request)["link"]["link_id"]
        link = self.ask(OWNER, "bank-link/VerifyLink", {"link_id": link_id})["link"]
        if link["state"] != "LINK_STATE_SUCCESS":
            raise StartError(f"the planted bank link is not verified but {link['state']}")
        return str(link_id)

    def clearing(self) -> str:
        """The account that the first payment has opened."""
        request = {"legal_entity": TENANT, "page_size": 1000}
        found = self.ask(_AUDITOR, "ledger/ListBalances", request)["balances"]
        accounts = [balance["account"] for balance in found]
        for account in accounts:
            kind, currency = account["kind"], account["currency_code"]
            if (kind, currency) == ("ACCOUNT_KIND_CLEARING", _CURRENCY):
                return str(account["account_id"])
        raise StartError(f"{TENANT} has no clearing account after its first payment")


def _fresh(nonce: str, purpose: str) -> str:
    """A UUID of this nonce's."""
    return str(uuid.uuid5(_NAMESPACE, f"{purpose}/{nonce}"))


def _key(nonce: str) -> str:
    """An idempotency key of this nonce's."""
    return f"canary-{nonce.translate(_LETTERS)}"


def _opening(request_id: str, kind: str) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "legal_entity": TENANT,
        "kind": kind,
        "currency_code": _CURRENCY,
    }


def _linking(nonce: str) -> dict[str, Any]:
    return {
        "request_id": _fresh(nonce, "link"),
        "institution_id": "ins_first_platypus",
        "public_token": f"public-sandbox-success-{nonce.translate(_LETTERS)[:32]}",
    }


def _transfer(plants: Plants, nonce: str) -> dict[str, Any]:
    return {
        "request_id": _fresh(nonce, "transfer"),
        "legs": [
            {"account_id": plants.clearing, "amount": {**_CENT, "minor_units": "-1"}},
            {"account_id": plants.merchant, "amount": _CENT},
        ],
        "reference": _key(nonce),
    }


def _openings(nonce: str) -> tuple[dict[str, Any], ...]:
    """Operators open merchants' accounts, payments the clearing account that is there."""
    return tuple(
        _opening(_fresh(nonce, kind), kind)
        for kind in ("ACCOUNT_KIND_MERCHANT", "ACCOUNT_KIND_CLEARING")
    )


_PAYMENTS = "/paymesh.payments.v1.PaymentsService/"
_LEDGER = "/paymesh.ledger.v1.LedgerService/"
_BANK_LINK = "/paymesh.bank_link.v1.BankLinkService/"
_HEALTH = "/grpc.health.v1.Health/"
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"

_REQUESTS: Mapping[str, Callable[[Plants, str], tuple[dict[str, Any], ...]]] = {
    # From a bank link: that is what makes it a jewel.
    _PAYMENTS + "CreatePayment": lambda plants, nonce: (
        {
            "idempotency_key": _key(nonce),
            "amount": _CENT,
            "bank_link_id": plants.link,
            "merchant_account_id": plants.merchant,
            "description": _key(nonce),
        },
    ),
    _PAYMENTS + "GetPayment": lambda plants, _: ({"payment_id": plants.payment},),
    _PAYMENTS + "ListPayments": lambda _, __: ({"page_size": 1},),
    _PAYMENTS + "RefundPayment": lambda plants, nonce: (
        {"idempotency_key": _key(nonce), "payment_id": plants.payment, "amount": _CENT},
    ),
    _LEDGER + "OpenAccount": lambda _, nonce: _openings(nonce),
    _LEDGER + "PostTransfer": lambda plants, nonce: (_transfer(plants, nonce),),
    _LEDGER + "GetBalance": lambda plants, _: ({"account_id": plants.merchant},),
    _LEDGER + "ListBalances": lambda _, __: ({"legal_entity": TENANT, "page_size": 1},),
    _LEDGER + "ListEntries": lambda plants, _: ({"account_id": plants.merchant, "page_size": 1},),
    _BANK_LINK + "CreateLink": lambda _, nonce: (_linking(nonce),),
    _BANK_LINK + "GetLink": lambda plants, _: ({"link_id": plants.link},),
    _BANK_LINK + "ListLinks": lambda _, __: ({"page_size": 1},),
    _BANK_LINK + "VerifyLink": lambda plants, _: ({"link_id": plants.link},),
    _BANK_LINK + "RemoveLink": lambda plants, _: ({"link_id": plants.removed_link},),
    _HEALTH + "Check": lambda _, __: ({},),
    _HEALTH + "List": lambda _, __: ({},),
    _HEALTH + "Watch": lambda _, __: ({},),
    _REFLECTION + "ServerReflectionInfo": lambda _, __: ({"list_services": "*"},),
}
