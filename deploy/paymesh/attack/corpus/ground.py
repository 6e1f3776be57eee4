"""What the variants are made of: identities, tokens, accounts and requests that would succeed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from paymesh import users
from paymesh.attack import wire
from paymesh.attack.corpus import jws
from paymesh.attack.corpus import protobuf as pb
from paymesh.attack.corpus.certificates import Authority, Certificate, uri
from paymesh.attack.corpus.model import Way, uuid_of
from paymesh.attack.wire import tls13
from paymesh.mesh import Mesh
from paymesh.paths import Paths

LEDGER = "/paymesh.ledger.v1.LedgerService/"
PAYMENTS = "/paymesh.payments.v1.PaymentsService/"
BANK_LINK = "/paymesh.bank_link.v1.BankLinkService/"
# Above limits.transfer_leg and limits.user_payment, and within them.
OVER, WITHIN = 4_000_000_000, 7


@dataclasses.dataclass(frozen=True, repr=False)
class Material:
    """What only root has.

    Attributes:
        authority: SPIRE's, or another that the mesh trusts.
        token_key: the users' token issuer's.
        token_key_id: its `kid`.
        merchant, clearing: accounts of acme in EUR.
    """

    authority: Authority
    token_key: ec.EllipticCurvePrivateKey
    token_key_id: str
    merchant: str
    clearing: str


class Ground:
    """One run of the corpus against one mesh. Deterministic but for keys, times and traces.

    Attributes:
        paths, mesh: which mesh.
        material: what only root has.
        traces: the variants' ids by trace id.
        entitled: the trace ids of those that may be carried out.
        now: the time that certificates and tokens are made for.
    """

    def __init__(self, paths: Paths, mesh: Mesh, material: Material, nonce: str) -> None:
        self.paths = paths
        self.mesh = mesh
        self.material = material
        self.traces: dict[str, str] = {}
        self.entitled: set[str] = set()
        self.now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        self._nonce = nonce
        self._key = ec.generate_private_key(ec.SECP256R1())

    def trace(self, variant_id: str) -> str:
        """The trace id of a variant in this run, and from then on known as its own."""
        made = hashlib.sha256(f"{self._nonce}/{variant_id}".encode()).hexdigest()[:32]
        self.traces[made] = variant_id
        return made

    # Who

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """Of every certificate whose key does not matter."""
        return self._key

    def certificate(self, *san: bytes, **changes: Any) -> Certificate:
        """A leaf like SPIRE's with these names, for an hour around now."""
        hour = dt.timedelta(hours=1)
        usual: dict[str, Any] = {"begin": self.now - hour, "end": self.now + hour}
        return Certificate(self._key.public_key(), san, **{**usual, **changes})

    @functools.cache  # noqa: B019  # a ground lives as long as its run
    def identity(self, workload: str) -> tls13.Identity:
        """What a workload that is taken over shows: an SVID of its ID from the mesh's authority."""
        leaf = self.certificate(uri(self.mesh.spiffe_id(workload)))
        return tls13.Identity((leaf.signed(self.material.authority),), self._key)

    # Where

    def straight(self, caller: str, callee: str) -> Way:
        """With the caller's SVID at the callee's Envoy, past the caller's own; without any
        certificate for the caller "".
        """
        port = self.mesh.workloads[callee].port
        authority = f"{callee}.{self.mesh.trust_domain}"
        hello = tls13.Hello(sni=(authority.encode(),))
        return Way(
            f"{caller or 'nobody'} at {callee}",
            caller,
            wire.Tcp(self.mesh.address, port or 0),
            tls13.Script(hello),
            self.identity(caller) if caller else None,
            authority,
        )

    def public(self, *alpn: bytes) -> Way:
        """At the gateway's public listener, as anybody."""
        hello = tls13.Hello(sni=(b"localhost",), alpn=alpn or (b"h2",))
        way = self.straight("", "gateway")
        return way.changed(name="public", script=tls13.Script(hello), authority="localhost")

    def public_http1(self) -> Way:
        """The same for HTTP/1."""
        return self.public(b"http/1.1").changed(opening=b"")

    def sidecar(self, workload: str) -> Way:
        """At a workload's own way out, as the workload itself."""
        return Way(
            f"{workload}'s way out",
            workload,
            wire.Unix(self.paths.workload(workload) / "outbound.sock"),
            None,
            None,
            f"{workload}.{self.mesh.trust_domain}",
        )

    # For whom

    def claims(self, user: str, **changes: Any) -> dict[str, Any]:
        """The claims of a good token; a change to None leaves one out."""
        claims = users.claims(self.mesh, users.find(self.mesh, user))
        claims["jti"] = f"corpus-{user}"
        claims.update(iat=int(self.now.timestamp()), exp=int(self.now.timestamp()) + 900)
        claims.update(changes)
        return {name: value for name, value in claims.items() if value is not None}

    def signed(self, claims: Mapping[str, Any]) -> str:
        """A token with the issuer's signature over any claims."""
        header = {"alg": "ES256", "typ": "JWT", "kid": self.material.token_key_id}
        return jws.token(self.material.token_key, header, claims)

    @functools.cache  # noqa: B019
    def token(self, user: str) -> str:
        """A good token."""
        return self.signed(self.claims(user))

    # What

    def transfer(self, trace: str, minor_units: int = WITHIN) -> bytes:
        """A PostTransferRequest from acme's clearing to its merchant account."""
        return (
            pb.text(1, uuid_of(trace))
            + self.leg(self.material.merchant, money(minor_units))
            + self.leg(self.material.clearing, money(-minor_units))
        )

    def leg(self, account: str, amount: bytes) -> bytes:
        """One leg of it."""
        return pb.text(2, pb.text(1, account) + pb.text(2, amount))

    def payment(self, trace: str, minor_units: int = WITHIN) -> bytes:
        """A CreatePaymentRequest."""
        return (
            pb.text(1, uuid_of(trace))
            + pb.text(2, money(minor_units))
            + pb.text(3, "tok_visa")
            + pb.text(5, self.material.merchant)
        )

    def payment_json(self, trace: str, minor_units: int = WITHIN) -> bytes:
        """The same for the gateway's JSON."""
        return json.dumps(
            {
                "idempotencyKey": uuid_of(trace),
                "amount": {"currencyCode": "EUR", "minorUnits": str(minor_units)},
                "paymentMethodToken": "tok_visa",
                "merchantAccountId": self.material.merchant,
            }
        ).encode()

    @staticmethod
    def balances(legal_entity: str = "acme") -> bytes:
        """A ListBalancesRequest."""
        return pb.text(1, legal_entity)


def money(minor_units: int, currency: str = "EUR") -> bytes:
    """An amount."""
    return pb.text(1, currency) + pb.integer(2, minor_units)
