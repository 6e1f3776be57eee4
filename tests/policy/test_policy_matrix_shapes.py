"""Classes of messages: from descriptors of any API, and in few words."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor

from paymesh.errors import ConfigError
from paymesh.policy.matrix import objects, page, shapes, subjects
from paymesh.policy.matrix.evaluate import Answer, Cell
from paymesh.policy.matrix.plan import Plan, Target
from paymesh.policy.matrix.shapes import Shape
from paymesh.policy.matrix.words import ANYTHING, describe

LIMITS = [{"EUR": 100, "JPY": 100}, {"EUR": 500}]


def _message(text: str, **types: str) -> Descriptor:
    """The message of one `name: type` a word, such as `amount:Money`; `*` is repeated."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    money = file.message_type.add(name="Money")
    _add(money, "currency_code:string minor_units:int64")
    kind = file.enum_type.add(name="AccountKind")
    for number, name in enumerate(("UNSPECIFIED", "MERCHANT", "CLEARING")):
        kind.value.add(name=f"ACCOUNT_KIND_{name}", number=number)
    for name, fields in types.items():
        _add(file.message_type.add(name=name), fields)
    _add(file.message_type.add(name="Request"), text)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindMessageTypeByName("t.Request")


def _add(message: descriptor_pb2.DescriptorProto, fields: str) -> None:
    scalars = {"string": 9, "int64": 3, "int32": 5, "bool": 8, "bytes": 12}
    for number, one in enumerate(fields.split(), start=1):
        name, _, kind = one.rstrip("*").partition(":")
        field = message.field.add(name=name, number=number, label=3 if one.endswith("*") else 1)
        if kind in scalars:
            field.type = scalars[kind]
        else:
            field.type = 14 if kind == "AccountKind" else 11
            field.type_name = f".t.{kind}"


def _shape(text: str, **types: str) -> Shape:
    return shapes.shape([_message(text, **types)], LIMITS)


def _bodies(found: Shape) -> dict[str, Any]:
    return {one.name: one.body for one in found.classes}


def test_an_amount_is_tried_around_every_limit() -> None:
    """At each table's limit, one over, one, minus one, zero, absent, in an unknown currency."""
    found = _bodies(_shape("amount:Money"))
    euros = [-1, 1, 100, 101, 500, 501]
    assert [name for name in found if name.endswith("EUR")] == [f"amount {n} EUR" for n in euros]
    assert found["amount 101 EUR"] == {"amount": {"currencyCode": "EUR", "minorUnits": "101"}}
    assert found["amount of zero"] == {"amount": {"currencyCode": "EUR"}}
    assert found["amount in a currency without a limit"]["amount"]["currencyCode"] == "XTS"
    assert (found["empty"], found["unreadable"]) == ({}, None)


def test_legs_are_tried_as_credit_and_debit() -> None:
    """Each limit stands once in the first item and once, below zero, in the last."""
    found = _bodies(_shape("legs:Leg*", Leg="account:string amount:Money"))
    units = [
        [leg["amount"].get("minorUnits") for leg in found[f"legs {n} JPY"]["legs"]]
        for n in (-101, -100, 1, 100, 101)
    ]
    assert units == [["1", "-101"], ["1", "-100"], ["1", "-1"], ["100", "-1"], ["101", "-1"]]
    assert found["legs without an amount"]["legs"][1] == {}


def test_axes_multiply_and_other_fields_are_filled() -> None:
    """Entity and kind are tried with each other, in protobuf's JSON, with samples beside them."""
    found = _shape("legal_entity:string kind:AccountKind note:string count:int64 flag:bool")
    bodies = _bodies(found)
    assert bodies["legalEntity another's, kind CLEARING"] == {
        "legalEntity": subjects.OTHER_TENANT,
        "kind": "ACCOUNT_KIND_CLEARING",
        "note": "sample",
        "count": "1",
        "flag": True,
    }
    assert len(bodies) == 3 * 3 + 3
    truncated = next(one for one in found.classes if one.truncated)
    assert truncated.body["note"] == "sample"


def test_a_field_of_a_field_is_an_axis_too() -> None:
    """An amount that moves into a message of its own is still tried."""
    found = _bodies(_shape("order:Order", Order="id:string amount:Money"))
    assert found["order.amount 501 EUR"]["order"]["amount"]["minorUnits"] == "501"


def test_messages_of_two_states_are_tried_as_one() -> None:
    """What either state's request has is tried in both."""
    found = shapes.shape([_message("note:string"), _message("kind:AccountKind")], LIMITS)
    assert _bodies(found)["kind MERCHANT"] == {"kind": "ACCOUNT_KIND_MERCHANT", "note": "sample"}


def test_too_many_classes_are_refused() -> None:
    """Four amounts in one message would be a matrix that nobody asks or reads."""
    with pytest.raises(ConfigError, match="28561 classes of messages"):
        _shape("a:Money b:Money c:Money d:Money")


def test_a_range_is_said_with_its_figures() -> None:
    """Neighbours on a currency's scale are a range, and currencies with the same one share it."""
    found = _shape("amount:Money note:string")
    names = [f"amount {n} {c}" for c in ("EUR", "JPY") for n in (1, 100)]
    chosen = [one for one in found.classes if one.name in names]
    assert describe(found, chosen) == "amount 1 to 100 EUR/JPY"
    chosen = [one for one in found.classes if one.name.endswith((" EUR", "absent"))]
    assert describe(found, chosen) == "amount any EUR or absent"
    over = [one for one in found.classes if one.name in {"amount 501 EUR", "amount -1 JPY"}]
    assert describe(found, over) == "amount 501 or more EUR or up to -1 JPY"


def test_a_product_is_said_as_one() -> None:
    """Each axis by itself where that is the whole of it, else sum by sum."""
    found = _shape("legal_entity:string kind:AccountKind note:string")

    def said(*names: str) -> str:
        return describe(found, [one for one in found.classes if one.name in names])

    assert said("legalEntity own, kind MERCHANT") == "legalEntity own, and kind MERCHANT"
    clearing = [f"legalEntity {e}, kind CLEARING" for e in ("own", "another's", "absent")]
    assert said(*clearing) == "kind CLEARING"
    assert said(*clearing, "legalEntity own, kind MERCHANT") == (
        "legalEntity own, and kind MERCHANT or CLEARING; legalEntity another's or absent, and"
        " kind CLEARING"
    )
    assert describe(found, found.classes) == ANYTHING
    assert describe(
        found, [c for c in found.classes if c.body is not None and not c.truncated]
    ) == ("any readable message")
    assert describe(found, []) == "never"


def test_actions_have_the_states_of_their_noun() -> None:
    """`links.use` is tried with LinkState's values, without the prefix and without zero."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t")
    for name, values in (("LinkState", "UNSPECIFIED SUCCESS"), ("AccountKind", "NONE MERCHANT")):
        enum = file.enum_type.add(name=name)
        prefix = "LINK_STATE_" if name == "LinkState" else "ACCOUNT_KIND_"
        for number, value in enumerate(values.split()):
            enum.value.add(name=prefix + value, number=number)
    descriptors = descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()
    known = objects.facts([descriptors])
    names = {one.name for one in objects.shape("links.use", known).classes}
    assert {"own, state SUCCESS", "own, no kind or state"} <= names
    assert not any("MERCHANT" in name for name in names)
    both = {one.name for one in objects.shape("cards.read", known).classes}
    assert {"own, state SUCCESS", "own, kind MERCHANT"} <= both


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_escapes_and_loads_nothing() -> None:
    """A name from mesh.yaml or a proto stays text, and no resource is fetched from anywhere."""
    nasty = '"><script>alert(1)</script><img src=x onerror=alert(1)>&'
    shape = _shape("note:string")
    target = Target(f"/{nasty}", shape, nasty, is_call=True)
    user = subjects.EndUser(nasty, (nasty,))
    plan = Plan((nasty,), (user,), (target,))
    cell = Cell(nasty, target, user, tuple(Answer(nasty, nasty) for _ in shape.classes))
    text = page.page(f"Generated --> {nasty}", plan, {(nasty, target.name, nasty): cell})
    assert text.count("alert(1)") == text.count("&lt;script&gt;alert(1)&lt;/script&gt;") * 2
    found = _Page()
    found.feed(text)
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == 1
    assert not {"img", "link", "iframe", "object"} & set(tags)
    assert not [a for _, attributes in found.tags for a in attributes if a.startswith("on")]
    assert not [a for _, attributes in found.tags for a in attributes if a in {"src", "href"}]
    assert not re.search(r"https?:|url\(|@import", text)
    policy = next(a["content"] for tag, a in found.tags if tag == "meta" and "content" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
