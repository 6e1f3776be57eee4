"""A call, and the messages that are sent: about objects that exist and belong to alice of acme.

What stands in a message and what exists is no configuration: it is what the probes plant.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

TENANT, OWNER = "acme", "alice"
AUTHORIZATION = "authorization"

PAYMENTS = "/paymesh.payments.v1.PaymentsService/"
LEDGER = "/paymesh.ledger.v1.LedgerService/"
LINKS = "/paymesh.bank_link.v1.BankLinkService/"
HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

_CENT = {"currencyCode": "EUR", "minorUnits": "1"}
_ID = "8e5ba73c-2b84-4b3f-9d5e-2f7a4dfb0b8c"
NOT_READ = "null"


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


def _json(**fields: object) -> str:
    return json.dumps(fields, sort_keys=True)


def opening(kind: str) -> str:
    """OpenAccountRequest of a kind of account."""
    return _json(legalEntity=TENANT, kind=f"ACCOUNT_KIND_{kind}", currencyCode="EUR", requestId=_ID)


TRANSFER = _json(
    requestId=_ID,
    legs=[
        {"accountId": _ID, "amount": _CENT | {"minorUnits": "-1"}},
        {"accountId": _ID, "amount": _CENT},
    ],
    reference="x",
)
_ACCOUNT = _json(accountId=_ID)
_LINK = _json(linkId=_ID)

# One cent, alice's payment, her verified link, acme's accounts.
_BODIES = {
    f"{PAYMENTS}CreatePayment": (
        _json(idempotencyKey="k", amount=_CENT, merchantAccountId=_ID, bankLinkId=_ID),
    ),
    f"{PAYMENTS}RefundPayment": (_json(idempotencyKey="k", paymentId=_ID, amount=_CENT),),
    f"{PAYMENTS}GetPayment": (_json(paymentId=_ID),),
    f"{LEDGER}OpenAccount": (opening("MERCHANT"), opening("CLEARING")),
    f"{LEDGER}PostTransfer": (TRANSFER,),
    f"{LEDGER}GetBalance": (_ACCOUNT,),
    f"{LEDGER}ListEntries": (_ACCOUNT,),
    f"{LEDGER}ListBalances": (_json(legalEntity=TENANT),),
    f"{LINKS}CreateLink": (_json(requestId=_ID, institutionId="i", publicToken="public-x"),),
    f"{LINKS}GetLink": (_LINK,),
    f"{LINKS}VerifyLink": (_LINK,),
    f"{LINKS}RemoveLink": (_LINK,),
    REFLECTION: (NOT_READ,),
}


def bodies(rpc: str) -> tuple[str, ...]:
    """The messages that are tried: each is right for somebody who may make the call."""
    return _BODIES.get(rpc, ("{}",))
