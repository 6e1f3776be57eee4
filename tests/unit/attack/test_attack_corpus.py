"""The bypass corpus: what is in it, and that its judge sees what it has to see."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attack_imaginary import ground
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.attack import wire
from paymesh.attack.corpus import certificates, protobuf
from paymesh.attack.corpus.classes import CLASSES, messages
from paymesh.attack.corpus.judge import Seen, judge
from paymesh.attack.corpus.model import Sent, Variant
from paymesh.attack.corpus.observe import Execution
from paymesh.ledger.v1 import ledger_pb2
from paymesh.payments.v1 import payments_pb2

_MANY = 20
_ADVISORY = re.compile(r"\bCVE-\d{4}-\d{4,}|\bGHSA-")


@pytest.fixture(scope="module")
def variants() -> dict[int, list[Variant]]:
    """Of every class, on a ground of their own."""
    made = ground()
    return {number: of.variants(made) for number, of in CLASSES.items()}


def test_there_are_24_classes() -> None:
    """All of them, each under its number and with a title of its own."""
    assert list(CLASSES) == list(range(1, 25))
    assert len({of.title for of in CLASSES.values()}) == len(CLASSES)


@pytest.mark.parametrize("number", CLASSES)
def test_a_class_has_many_variants_and_a_control(
    variants: dict[int, list[Variant]], number: int
) -> None:
    """At least twenty differ in what is sent, and something may be carried out."""
    refused = [variant for variant in variants[number] if not variant.entitled]
    assert len({variant.fingerprint for variant in refused}) >= _MANY
    assert any(variant.entitled for variant in variants[number])


@pytest.mark.parametrize("number", CLASSES)
def test_a_class_names_where_it_was_learnt(number: int) -> None:
    """Its module says which advisory it is about."""
    documentation = sys.modules[CLASSES[number].add.__module__].__doc__ or ""
    assert documentation.startswith(f"Class {number}: ")
    assert _ADVISORY.search(documentation), documentation


def test_variants_have_the_same_ids_in_every_run(variants: dict[int, list[Variant]]) -> None:
    """Another run has other keys and trace ids, and the same variants in the same order."""
    other = ground("b")
    for number, of in CLASSES.items():
        again = of.variants(other)
        assert [variant.id for variant in again] == [variant.id for variant in variants[number]]
        assert not {v.trace for v in again} & {v.trace for v in variants[number]}


def test_every_variant_can_be_told_by_its_trace(variants: dict[int, list[Variant]]) -> None:
    """No two share a trace id, and all but those that are no request carry theirs."""
    everything = [variant for of in variants.values() for variant in of]
    assert len({variant.trace for variant in everything}) == len(everything)
    silent = [v.id for v in everything if v.trace.encode() not in v.attempt.data]
    assert all(
        re.match(r"(18|22)/|08/http-0.9|16/header-|24/header-traceparent", name) for name in silent
    )


def test_the_requests_would_succeed() -> None:
    """What is asked for is whole and valid, so that only permission can be what is missing."""
    made = ground()
    trace = made.trace("x")
    transfer = ledger_pb2.PostTransferRequest.FromString(made.transfer(trace, 7))
    assert [leg.amount.minor_units for leg in transfer.legs] == [7, -7]
    payment = payments_pb2.CreatePaymentRequest.FromString(made.payment(trace, 7))
    assert (payment.amount.minor_units, payment.payment_method_token) == (7, "tok_visa")
    assert ledger_pb2.ListBalancesRequest.FromString(made.balances()).legal_entity == "acme"


def test_the_replys_amounts_are_read() -> None:
    """A reply within the limits is told from one above them, and from none."""

    def reply(message: Any) -> wire.Reply:
        return wire.Reply("answered", 200, body=wire.message(message.SerializeToString()))

    transfer = ledger_pb2.PostTransferResponse()
    for units in (7, -7):
        transfer.transfer.legs.add().amount.minor_units = units
    assert messages.is_within(reply(transfer))
    transfer.transfer.legs[1].amount.minor_units = -4_000_000_000
    assert not messages.is_within(reply(transfer))
    payment = payments_pb2.CreatePaymentResponse()
    payment.payment.amount.minor_units = 5_000_001
    assert not messages.is_within(reply(payment))
    assert not messages.is_within(wire.Reply("answered", 200))


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, (1 << 63) - 1, -1, -(1 << 63)])
def test_numbers_are_written_as_protobuf_does(value: int) -> None:
    """A varint by hand is that of the library, and longer ones mean the same."""
    message = ledger_pb2.Balance(entry_count=value)
    assert protobuf.integer(3, value) == (message.SerializeToString() or b"\x18\x00")
    longer = protobuf.tag(3, 0) + protobuf.varint(value, width=10)
    assert ledger_pb2.Balance.FromString(longer).entry_count == value


def test_a_certificate_by_hand_is_a_certificate() -> None:
    """A library reads it, and it is signed by who is said to have signed it."""
    made = ground()
    leaf = made.certificate(certificates.uri("spiffe://x/y")).signed(made.material.authority)
    certificate = x509.load_der_x509_certificate(leaf)
    root = x509.load_der_x509_certificate(made.material.authority.certificate)
    certificate.verify_directly_issued_by(root)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://x/y"]
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


_REFUSED = wire.Reply("answered", 200, ((b"grpc-status", b"7"),))
_VARIANT_ID = "09/uri@inside"


def _seen(**changes: Any) -> Seen:
    nothing: dict[str, Any] = {
        "executions": [], "decisions": [], "recorded": set(), "answers": [], "replaced": [],
    }  # fmt: skip
    return Seen(**{**nothing, **changes})


def _execution(trace: str, **changes: str) -> Execution:
    usual = Execution("ledger", "/a.B/C", "OK", trace, "spiffe://x", "")
    return dataclasses.replace(usual, **changes)


def _answered(**headers: str) -> wire.Reply:
    return wire.Reply(
        "answered",
        200,
        tuple((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()),
    )


Change = Callable[[Variant], tuple[Variant, wire.Reply, Seen]]
_WRONG: Mapping[str, tuple[str, Change]] = {
    "executed": (
        "got through",
        lambda v: (v, _REFUSED, _seen(executions=[_execution(v.trace)])),
    ),
    "begun": (
        "got through",
        lambda v: (v, _REFUSED, _seen(executions=[_execution(v.trace, code="INTERNAL")])),
    ),
    "executed under no known trace": (
        "got through",
        lambda v: (v, _REFUSED, _seen(executions=[_execution("f" * 32)])),
    ),
    "a control that was refused": (
        "not carried out",
        lambda v: (dataclasses.replace(v, entitled=True), _REFUSED, _seen()),
    ),
    "executed otherwise than allowed": (
        "as something else",
        lambda v: (
            dataclasses.replace(v, permits=lambda _: False, rpc="/a.B/C"),
            _REFUSED,
            _seen(executions=[_execution(v.trace)]),
        ),
    ),
    "a failing server": (
        "a server that failed",
        lambda v: (v, _answered(grpc_status="14"), _seen()),
    ),
    "a decision point that is too slow": (
        "too slow",
        lambda v: (
            v,
            _answered(grpc_status="14", x_paymesh_reason="DECISION_NOT_RECORDED"),
            _seen(),
        ),
    ),
    "a refusal without a status": (
        "without a gRPC status",
        lambda v: (v, _answered(), _seen()),
    ),
    "a decision without a record": (
        "not on record",
        lambda v: (v, _answered(grpc_status="7", x_paymesh_decision_id="d"), _seen()),
    ),
    "a refusal of policy's without a record": (
        "without a decision on record",
        lambda v: (v, _REFUSED, _seen(answers=[{"flags": "UAEX", "decision_id": "d"}])),
    ),
    "a panic": (
        "the decision point failed",
        lambda v: (v, _REFUSED, _seen(decisions=[{"error": "panic: x"}])),
    ),
    "a process that was replaced": (
        "not the process any more",
        lambda v: (v, _REFUSED, _seen(replaced=["ledger-envoy"])),
    ),
}


@pytest.mark.parametrize("case", _WRONG)
def test_the_judge_sees_it(variants: dict[int, list[Variant]], case: str) -> None:
    """Each thing that must not be is a fault, and the only one."""
    what, change = _WRONG[case]
    variant = next(v for v in variants[9] if v.id == _VARIANT_ID)
    variant, reply, seen = change(variant)
    (fault,) = judge([variant], {variant.id: reply}, seen, {})
    assert what in fault.what


def test_the_judge_has_nothing_to_say_of_what_is_right(
    variants: dict[int, list[Variant]],
) -> None:
    """A refusal, a control that ran, a call of the service's own for it, a decision on record."""
    by_id = {v.id: v for v in variants[9]}
    refused, control = by_id[_VARIANT_ID], by_id["09/control@inside"]
    allowed = dataclasses.replace(by_id["09/whole@inside"], permits=lambda _: True, rpc="/a.B/C")
    executions = [
        _execution(control.trace),
        _execution(allowed.trace),
        _execution(control.trace, workload="payments"),
    ]
    decided = _answered(grpc_status="7", x_paymesh_decision_id="d")
    replies = {refused.id: decided, control.id: _answered(), allowed.id: _answered()}
    seen = _seen(executions=executions, recorded={"d"})
    sent = [refused, control, dataclasses.replace(allowed, grpc=False)]
    assert judge(sent, replies, seen, {}) == []


def test_a_late_line_is_put_down_to_its_variant() -> None:
    """What a log says after its class was judged still names the variant."""
    seen = _seen(executions=[_execution("e" * 32)])
    traces = {"e" * 32: _VARIANT_ID}
    (fault,) = judge([], {}, seen, traces)
    assert fault.variant == _VARIANT_ID
    assert judge([], {}, seen, traces, entitled={"e" * 32}) == []


def test_what_payments_finishes_by_itself_is_no_fault() -> None:
    """Its worker has no user and a trace of its own; with a user or a known trace it is one, as
    is a call past the sidecar.
    """
    payments = {"caller": "spiffe://x/ns/y/sa/payments"}
    by_itself = _execution("e" * 32, **payments)
    assert judge([], {}, _seen(executions=[by_itself]), {}) == []
    past = _execution("e" * 32, caller="", code="INTERNAL", reason="NOT_THROUGH_SIDECAR")
    assert judge([], {}, _seen(executions=[past]), {}) == []
    assert judge([], {}, _seen(executions=[past]), {"e" * 32: _VARIANT_ID})
    for_alice = _execution("e" * 32, **payments, user="alice")
    assert judge([], {}, _seen(executions=[for_alice]), {})
    assert judge([], {}, _seen(executions=[by_itself]), {"e" * 32: _VARIANT_ID})


def test_the_bytes_are_those_of_the_attempt(variants: dict[int, list[Variant]]) -> None:
    """What a request is told apart by is what goes out."""
    variant = next(v for v in variants[1] if v.id == "01/middle-slash-lower@inside")
    assert isinstance(variant.attempt, Sent)
    assert variant.attempt.data == variant.attempt.request.frames(1)
    assert b"LedgerService%2fPostTransfer" in variant.attempt.data
