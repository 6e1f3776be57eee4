"""How values and places are said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.money import Money
from paymesh.policy.explain import places, words

_SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("currency", "minor_units", "text"),
    [
        ("EUR", "1250", "12.50 EUR"),
        ("EUR", 5, "0.05 EUR"),
        ("EUR", "-5", "-0.05 EUR"),
        ("EUR", "100000000", "1,000,000.00 EUR"),
        ("JPY", "1250", "1,250 JPY"),
        ("KWD", "1250", "1.250 KWD"),
        ("CLF", "1", "0.0001 CLF"),
        ("XAU", "1250", "1,250 minor units of XAU"),
        ("EUR", "12.5", "12.5 EUR"),
        ("EUR", "1e9", "1e9 EUR"),
        ("\x1b", "1", "1 minor units of \\u001b"),
    ],
)
def test_money_is_said_in_its_own_unit(currency: str, minor_units: str | int, text: str) -> None:
    """With as many digits as ISO 4217 gives the currency, and a comma at each thousand."""
    assert words.money(currency, minor_units) == text


@given(st.sampled_from(["EUR", "JPY", "KWD", "CLF"]), st.integers(-(2**63), 2**63 - 1))
def test_money_is_said_as_the_services_say_it(currency: str, minor_units: int) -> None:
    """But for commas and the place of the code, the digits are those of meshkit's Money."""
    number, _, code = words.money(currency, minor_units).partition(" ")
    assert f"{code} {number.replace(',', '')}" == str(Money.of(currency, minor_units))


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ms"),
        (999_999_999, "999 ms"),
        (20 * _SECOND, "20 s"),
        (-20 * _SECOND, "20 s"),
        (60 * _SECOND, "1 min"),
        (570 * _SECOND, "9 min 30 s"),
        (7500 * _SECOND, "2 h 5 min"),
        (3 * 86400 * _SECOND, "3 d"),
        (3 * 86400 * _SECOND + 4 * 3600 * _SECOND, "3 d 4 h"),
    ],
)
def test_a_span_has_two_units_at_most(nanoseconds: int, text: str) -> None:
    """Nobody counts seconds over days."""
    assert words.span(nanoseconds) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, ""),
        ({"input.parsed_body.kind": "X"}, "`kind` is X"),
        ({"input.parsed_body.kind": words.ABSENT}, "`kind` is absent"),
        ({"input.parsed_body.kind": None}, "`kind` is not recorded"),
        ({"data.paymesh.authz.user.roles": ["a", "b"]}, "the user has a, b"),
        ({"data.paymesh.authz.user.roles": []}, "the user has no role"),
        ({"data.paymesh.authz.user.roles": words.ABSENT}, "there is no verified user"),
        ({"data.paymesh.authz.user.tenant": "acme"}, "the user's tenant is acme"),
        ({"input.parsed_body.legs": [], "data.x.limits": {"EUR": 1}}, "no legs"),
        (
            {"input.parsed_body.legs": [{}, {"amount": None}], "data.x.limits": {"EUR": 1}},
            "an amount not recorded, an amount not recorded",
        ),
        (
            {"input.parsed_body.amount": {"minorUnits": "5"}, "data.x.limits": {"EUR": 1}},
            "5 minor units of",
        ),
        ({"input.x": list(range(20))}, "`x` is 0, 1, 2, 3, 4, 5, 6, 7 and 12 more"),
        ({"input.x": {"y": True}}, "`x` is y true"),
    ],
)
def test_facts_are_said_in_one_line(values: dict[str, object], text: str) -> None:
    """Whatever a message has in their place."""
    assert words.facts(values).strip() == text


@given(
    st.dictionaries(
        st.sampled_from(
            ["input.amount", "input.legs", "data.limits", "data.user.roles", "input.x"]
        ),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.sampled_from(["", "1250", "\x1b[2J", "\u202eabc", "1e9"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["amount", "currencyCode", "minorUnits", "EUR"]),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=6,
        ),
    )
)
def test_any_values_can_be_said(values: dict[str, object]) -> None:
    """A caller writes what it likes into a message: it is one harmless line."""
    assert words.facts(values).isprintable()


def test_either_and_both() -> None:
    """Lists as people say them."""
    assert words.either(["a"]) == "a"
    assert words.either(["a", "b", "c"]) == "a, b or c"
    assert words.both(["a", "b"]) == "a and b"
    assert words.both([]) == ""


_REGO = b"""# METADATA
# description: Of the package.
package paymesh.authz

import data.x

# Why it is so.
# METADATA
# description: >-
#   Of the
#   rule.
# custom:
#   facts: [input.a]
default decision := false

decision := true if {
\tinput.a

\tinput.b == "CODE"
} else := false

# METADATA
# description: [broken
condition["one"] := 1

condition.two := 2

f(x) := x if x
"""


def test_rules_are_found_with_their_lines_and_their_words() -> None:
    """Heads of every form, text to the last bracket, annotations if they can be read."""
    rules = places.Rules(
        {"paymesh/authz/x.rego": _REGO, "paymesh/authz/y.txt": b"z := 1"}, "paymesh/"
    )
    decision = rules.find("decision")
    assert decision is not None
    assert decision.line == 16
    assert decision.text[-1] == "} else := false"
    assert decision.place_of("CODE") == "policies/paymesh/authz/x.rego:19"
    assert decision.place_of("NONE") == decision.place == "policies/paymesh/authz/x.rego:16"
    default = rules.defaults("decision")
    assert default is not None
    assert (default.line, default.description, default.facts) == (14, "Of the rule.", ("input.a",))
    assert default.comment == "Why it is so."
    assert [rules.find(n).line for n in ("condition.one", "condition.two", "f")] == [24, 26, 28]
    assert rules.find("z") is None
    assert rules.at("paymesh/authz/x.rego", 19) == decision
    assert rules.at("paymesh/authz/x.rego", 5) is None
    assert rules.facts() == {"input.a"}


def test_lines_of_the_reviewers_file_are_those_of_its_entries() -> None:
    """However they are written; without the file there is its name alone."""
    text = b"grants:\n  - id: a\n    rpc: /x\n  - {rpc: /y, id: 'b'}\n"
    text += b"closed:\n  - why: no\n    rpc: /z\n"
    file = places.ReviewersFile(text)
    assert file.grant("a").endswith("data.yaml:2")
    assert file.grant("b").endswith("data.yaml:4")
    assert file.closed("/z").endswith("data.yaml:6")
    assert file.closed("/x").endswith("data.yaml")
    assert places.ReviewersFile(None).grant("a").endswith("data.yaml")
