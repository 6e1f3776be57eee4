"""Card numbers are found however they are written, and little else is."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.cards import contains_card_number, luhn_valid, mask_card_numbers

KNOWN = [
    "4111111111111111",
    "5555555555554444",
    "378282246310005",
    "6011111111111117",
    "30569309025904",
    "3530111333300000",
    "4222222222222",
    "6304000000000000",
    "6759649826438453",
]


def with_check_digit(digits: str) -> str:
    """Append the digit that makes the Luhn formula hold."""
    return next(digits + str(last) for last in range(10) if luhn_valid(digits + str(last)))


card_numbers = (
    st.text("0123456789", min_size=12, max_size=18)
    .map(with_check_digit)
    .filter(lambda digits: len(set(digits)) > 1)
)


@given(
    card_numbers,
    st.sampled_from(["", " ", "-", ".", " - ", "\u00a0", "\u2013"]),
    st.sampled_from(["", "card ", "tok_", "(", "No.", "é"]),
    st.sampled_from(["", ")", ", thanks", " exp", "\n", "!"]),
)
def test_a_card_number_is_found_however_it_is_grouped(
    number: str, separator: str, before: str, after: str
) -> None:
    """Spaces, hyphens, dots and what stands around it hide no card number."""
    grouped = separator.join(number[start : start + 4] for start in range(0, len(number), 4))
    assert contains_card_number(before + grouped + after)
    masked = mask_card_numbers(before + grouped + after, "#")
    assert not contains_card_number(masked)
    assert number[4:8] not in masked


@pytest.mark.parametrize("number", KNOWN)
def test_the_test_numbers_of_every_scheme_are_found(number: str) -> None:
    """The card schemes' published test numbers of 13 to 19 digits are found."""
    assert contains_card_number(number)


@given(card_numbers, st.integers(0, 8), st.integers(1, 9))
def test_one_wrong_digit_is_no_card_number(number: str, place: int, change: int) -> None:
    """The Luhn formula catches every single wrong digit."""
    digit = str((int(number[place]) + change) % 10)
    assert not luhn_valid(number[:place] + digit + number[place + 1 :])


@pytest.mark.parametrize("digits", ["٤١١١١١١١١١١١١١١١", "４１１１１１１１１１１１１１１１"])  # noqa: RUF001
def test_other_scripts_digits_are_digits(digits: str) -> None:
    """Arabic-Indic and full-width digits do not hide a card number."""
    assert contains_card_number(digits)


def test_an_expiry_date_beside_it_hides_nothing() -> None:
    """A card number is found beside an expiry date and a security code."""
    text = "4111 1111 1111 1111 12/29 123"
    assert mask_card_numbers(text, "#") == "# 12/29 123"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tok_visa",
        "411111111111",  # 12 digits
        "4111111111111112",  # the Luhn formula does not hold
        "0000000000000000",
        "2026-11-21 16:29:53",
        "DE89 3704 0044 0532 0130 00",
        "+49 30 901820",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "11111111111111111111111111111111111111111111",
    ],
)
def test_what_is_no_card_number_is_let_be(text: str) -> None:
    """Tokens, dates, IBANs, phone numbers and hashes are not taken for card numbers."""
    assert not contains_card_number(text)
    assert mask_card_numbers(text) == text


@given(st.uuids())
def test_uuids_are_not_taken_for_card_numbers(value: uuid.UUID) -> None:
    """An id with a hexadecimal letter in it passes, in both ways of writing it."""
    for text in (str(value), value.hex):
        if any(letter in "abcdef" for letter in text):
            assert not contains_card_number(f"id={text}")


@given(st.text(max_size=200))
def test_masking_keeps_everything_else(text: str) -> None:
    """Text without a card number is returned as it was; with one, nothing is left to find."""
    masked = mask_card_numbers(text, "#")
    assert (masked == text) != contains_card_number(text)
    assert not contains_card_number(masked)
