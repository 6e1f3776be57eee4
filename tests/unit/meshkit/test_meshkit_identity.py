"""SPIFFE IDs, parsed byte for byte."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.identity import InvalidSpiffeIdError, SpiffeId

segments = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20).filter(
    lambda segment: segment not in {".", ".."}
)
trust_domains = st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=60)


@given(trust_domains, st.lists(segments, max_size=6))
def test_parse_and_str_are_inverse(trust_domain: str, path: list[str]) -> None:
    """Every valid ID parses to what gives the same text back."""
    text = "/".join(["spiffe:/", trust_domain, *path])
    parsed = SpiffeId.parse(text)
    assert str(parsed) == text
    assert SpiffeId.parse(str(parsed)) == parsed


@given(st.text(max_size=60))
def test_any_other_text_is_refused_and_not_changed(text: str) -> None:
    """Whatever parses is exactly what it was: nothing is trimmed, folded or decoded."""
    for candidate in (text, f"spiffe://{text}", f"spiffe://paymesh.internal/{text}"):
        try:
            assert str(SpiffeId.parse(candidate)) == candidate
        except InvalidSpiffeIdError:
            continue


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "SPIFFE://paymesh.internal/a",
        "spiffe:///ns/paymesh",
        "spiffe://Paymesh.internal/ns",
        "spiffe://paymesh.internal/",
        "spiffe://paymesh.internal//ns",
        "spiffe://paymesh.internal/ns/",
        "spiffe://paymesh.internal/./ns",
        "spiffe://paymesh.internal/../ns",
        "spiffe://paymesh.internal/n%2Fs",
        "spiffe://paymesh.internal/ns?x=1",
        "spiffe://paymesh.internal/ns#x",
        "spiffe://paymesh.internal:443/ns",
        "spiffe://user@paymesh.internal/ns",
        "spiffe://paymesh.internal/ns\n",
        " spiffe://paymesh.internal/ns",
        "spiffe://paymesh.internal/nß",
        "https://paymesh.internal/ns",
        "spiffe://paymesh.internal/" + "a" * 2048,
    ],
)
def test_what_the_standard_forbids_is_refused(text: str) -> None:
    """Each form that SPIFFE-ID section 2 rules out raises."""
    with pytest.raises(InvalidSpiffeIdError):
        SpiffeId.parse(text)


def test_every_character_that_is_not_allowed_in_a_segment_is_refused() -> None:
    """Of the whole of Latin-1 only letters, digits, dot, hyphen and underscore pass."""
    allowed = set(string.ascii_letters + string.digits + "._-")
    for number in range(256):
        text = f"spiffe://paymesh.internal/a{chr(number)}b"
        if chr(number) in allowed or chr(number) == "/":
            assert str(SpiffeId.parse(text)) == text
        else:
            with pytest.raises(InvalidSpiffeIdError):
                SpiffeId.parse(text)


def test_the_workload_is_named_only_by_its_own_shape() -> None:
    """`workload` reads /ns/<namespace>/sa/<workload> and nothing that resembles it."""
    ledger = SpiffeId.of_workload("paymesh.internal", "paymesh", "ledger")
    assert (ledger.workload, ledger.namespace) == ("ledger", "paymesh")
    assert str(ledger) == "spiffe://paymesh.internal/ns/paymesh/sa/ledger"
    for other in ("/sa/ledger", "/ns/paymesh/sa/ledger/x", "/ns/paymesh/xx/ledger", ""):
        assert SpiffeId.parse(f"spiffe://paymesh.internal{other}").workload == ""


def test_an_id_never_equals_a_string() -> None:
    """Comparing with text is always unequal, so that nobody compares by accident."""
    ledger = SpiffeId.of_workload("paymesh.internal", "paymesh", "ledger")
    assert ledger != str(ledger)
    assert {str(ledger): 1}.get(ledger) is None  # type: ignore[call-overload]
