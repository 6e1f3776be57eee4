"""The calls that variants are made of: what somebody wants and may not have, and what they may."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

from paymesh.attack import wire
from paymesh.attack.corpus.ground import BANK_LINK, LEDGER, OVER, PAYMENTS, Ground
from paymesh.attack.corpus.model import Attempt, Sent, Variant, Way

Fields = list[wire.Field]
Change = Callable[[Fields], Sequence[wire.Field]]


@dataclasses.dataclass(frozen=True)
class Call:
    """A call in its usual form.

    Attributes:
        name: short, for ids.
        way: over which connection.
        path: of the RPC.
        body: the request's message for a trace id.
        token: the end user's, if one is sent.
    """

    name: str
    way: Way
    path: str
    body: Callable[[str], bytes]
    token: str | None = None

    def fields(self, trace: str) -> Fields:
        """Its header."""
        fields = list(wire.grpc_headers(self.path, self.way.authority))
        fields.append(traceparent(trace))
        if self.token is not None:
            fields.append((b"authorization", b"Bearer " + self.token.encode()))
        return fields

    def request(self, trace: str, change: Change = list) -> wire.Request:
        """The whole of it, its header changed."""
        return wire.Request(change(self.fields(trace)), wire.message(self.body(trace)))


def traceparent(trace: str) -> wire.Field:
    """W3C Trace Context, level 1."""
    return (b"traceparent", f"00-{trace}-00000000000000c1-01".encode())


class Calls:
    """The calls of a ground. The first half is refused to whoever makes it there."""

    def __init__(self, ground: Ground) -> None:
        straight, public = ground.straight, ground.public()
        alice, olivia = ground.token("alice"), ground.token("olivia")
        transfer, payment = ground.transfer, ground.payment

        def over(trace: str) -> bytes:
            return transfer(trace, OVER)

        def too_much(trace: str) -> bytes:
            return payment(trace, OVER)

        def balances(_: str) -> bytes:
            return ground.balances()

        def nothing(_: str) -> bytes:
            return b""

        at_ledger = straight("statements", "ledger")
        # Not granted to this workload.
        self.inside = Call("inside", at_ledger, LEDGER + "PostTransfer", transfer)
        # Not for a customer.
        self.public = Call("public", public, LEDGER + "ListBalances", balances, alice)
        # Not for a customer, and not for the gateway either.
        self.gateway = Call(
            "gateway", straight("gateway", "ledger"), LEDGER + "PostTransfer", transfer, alice
        )
        # More than may be moved at once.
        self.over = Call("over", straight("payments", "ledger"), LEDGER + "PostTransfer", over)
        self.too_much = Call("too-much", public, PAYMENTS + "CreatePayment", too_much, alice)
        # Not without an end user.
        self.anonymous = Call("anonymous", public, PAYMENTS + "ListPayments", nothing)
        self.userless = Call(
            "userless", straight("gateway", "payments"), PAYMENTS + "ListPayments", nothing
        )
        # Not this way.
        self.way_out = Call(
            "way-out", ground.sidecar("payments"), LEDGER + "ListBalances", balances
        )

        # What may be done.
        self.may_inside = Call("inside", at_ledger, LEDGER + "ListBalances", balances)
        self.may_public = Call("public", public, LEDGER + "ListBalances", balances, olivia)
        self.may_pay = Call("pay", public, PAYMENTS + "CreatePayment", payment, alice)
        self.may_post = Call("post", self.over.way, LEDGER + "PostTransfer", transfer)
        self.may_list = Call("list", public, PAYMENTS + "ListPayments", nothing, alice)
        self.may_list_inside = Call(
            "list-inside", self.userless.way, PAYMENTS + "ListPayments", nothing, alice
        )
        self.may_links = Call("links", public, BANK_LINK + "ListLinks", nothing, alice)


class Maker:
    """Collects the variants of one class."""

    def __init__(self, number: int, ground: Ground) -> None:
        self.ground = ground
        self.calls = Calls(ground)
        self.variants: list[Variant] = []
        self._number = number

    def add(
        self,
        name: str,
        what: str,
        way: Way,
        attempt: Callable[[str], Attempt],
        *,
        entitled: bool = False,
        permits: Callable[[wire.Reply], bool] | None = None,
        rpc: str = "",
        grpc: bool = True,
    ) -> None:
        """One variant, whose attempt is made for its trace id."""
        variant_id = f"{self._number:02d}/{name}"
        if any(variant.id == variant_id for variant in self.variants):
            raise ValueError(f"two variants are called {variant_id}")
        trace = self.ground.trace(variant_id)
        if entitled or permits is not None:
            self.ground.entitled.add(trace)
        made = attempt(trace)
        self.variants.append(
            Variant(variant_id, what, way, made, trace, entitled, permits, rpc, grpc)
        )

    def shape(
        self,
        name: str,
        what: str,
        change: Change,
        *calls: Call,
        shares: bool = True,
        grpc: bool = True,
    ) -> None:
        """The same change of the header for each of these calls."""
        for call in calls:
            self.add(
                f"{name}@{call.name}",
                what,
                call.way,
                partial(_sent, call, change, shares),
                grpc=grpc,
            )

    def control(self, *calls: Call, change: Change = list, name: str = "control") -> None:
        """Calls that are carried out: the canary sings in this class too."""
        for call in calls:
            self.add(
                f"{name}@{call.name}",
                "what the caller may do",
                call.way,
                partial(_sent, call, change, True),  # noqa: FBT003
                entitled=True,
            )


def _sent(call: Call, change: Change, shares: bool, trace: str) -> Attempt:  # noqa: FBT001
    return Sent(call.request(trace, change), shares)


def path(value: str | bytes) -> Change:
    """Puts another path there."""
    raw = value.encode() if isinstance(value, str) else value
    return put(b":path", raw)


def put(name: bytes, *values: bytes) -> Change:
    """Puts values in the place of a field, or at the end if it is not there."""

    def change(fields: Fields) -> Fields:
        new = [(name, value) for value in values]
        places = [number for number, field in enumerate(fields) if field[0] == name]
        at = places[0] if places else len(fields)
        rest = [field for field in fields[at:] if field[0] != name]
        return [*fields[:at], *new, *rest]

    return change


def plus(*more: wire.Field) -> Change:
    """Adds fields at the end."""
    return lambda fields: [*fields, *more]


def first(*more: wire.Field) -> Change:
    """Adds fields at the beginning."""
    return lambda fields: [*more, *fields]


def without(*names: bytes) -> Change:
    """Takes fields away."""
    return lambda fields: [field for field in fields if field[0] not in names]


def each(*changes: Change) -> Change:
    """One change after the other."""

    def change(fields: Fields) -> Sequence[wire.Field]:
        for one in changes:
            fields = list(one(fields))
        return fields

    return change
