"""The door: public tokens pass, whatever may be a login or an account number does not."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank_link.errors import CredentialsRefusedError, InvalidPublicTokenError
from bank_link.public_token import PublicToken, holds_account_data

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"

LOGINS = [
    "alice:hunter2",
    "hunter2",
    "alice@example.com",
    '{"username": "alice", "password": "hunter2"}',
    "username=alice&password=hunter2",
    "Basic YWxpY2U6aHVudGVyMg==",
    "access-sandbox-7c1b7a1e-1f0e-4b3e-9d0a-3f1d0f3c0a11",
    "ref_0123456789abcdef0123456789abcdef",
    "public-sandbox-success-a b",
    "public-sandbox-success-é",
    "public-sandbox-success-abc\n",
    "PUBLIC-sandbox-success-abc",
    " ",
]
ACCOUNTS = [
    "4111111111111111",
    "4111 1111 1111 1111",
    "public-4111111111111111",
    "public-sandbox-4111-1111-1111-1111",
    "public-sandbox-success-5500000000000004",
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "public-DE89370400440532013000",
    "public-sandbox-success-gb82west12345698765432",
    "public-NO9386011117947",
    "12345678",
    "public-12345678",
    "public-sandbox-40-47-84-70872490",
]


@pytest.mark.parametrize("text", LOGINS + ACCOUNTS)
def test_credentials_are_refused_and_not_repeated(text: str) -> None:
    """Logins, cards, IBANs and account numbers are refused, and no part of them comes back."""
    with pytest.raises(CredentialsRefusedError) as refusal:
        PublicToken.parse(text)
    assert refusal.value.reason == "CREDENTIALS_REFUSED"
    assert refusal.value.metadata == {}
    for part in re.findall(r"[A-Za-z0-9]{6,}", text.replace("public", "").replace("success", "")):
        assert part not in str(refusal.value)


@pytest.mark.parametrize("text", ["public-", "public-sandbox", "public-" + "a" * 97])
def test_a_token_of_the_wrong_length_is_malformed(text: str) -> None:
    """What begins as a token and is too short or too long is INVALID_REQUEST for its field."""
    with pytest.raises(InvalidPublicTokenError) as refusal:
        PublicToken.parse(text)
    assert refusal.value.reason == "INVALID_REQUEST"
    assert [field for field, _ in refusal.value.violations] == ["public_token"]


@given(st.uuids(), st.sampled_from(["", "sandbox-", "sandbox-success-", "production-"]))
def test_tokens_that_end_in_a_uuid_pass(number: uuid.UUID, prefix: str) -> None:
    """No UUID, with hyphens or without, makes a token look like an account number."""
    letter = "a" + str(number)[1:]  # at least one letter: digits alone are an account number
    for text in (f"public-{prefix}{letter}", f"public-{prefix}a{number.hex[1:]}"):
        assert PublicToken.parse(text).text == text


@given(st.text(max_size=130))
def test_only_the_form_of_a_token_passes(text: str) -> None:
    """Whatever parses has the documented form and comes out unchanged."""
    try:
        token = PublicToken.parse(text)
    except (CredentialsRefusedError, InvalidPublicTokenError):
        return
    assert re.fullmatch(r"public-[A-Za-z0-9-]{8,96}", token.text)
    assert token.text == text


@given(st.text(_ALPHABET, min_size=8, max_size=96))
def test_the_form_is_refused_only_for_account_data(rest: str) -> None:
    """A token of the right form is refused for digits alone or for account data, nothing else."""
    text = f"public-{rest}"
    try:
        PublicToken.parse(text)
    except CredentialsRefusedError:
        digits_only = re.fullmatch(r"public-(?:[a-z]+-)?[0-9-]+", text)
        assert holds_account_data(text) or digits_only


def test_a_token_stays_out_of_its_repr() -> None:
    """Nothing that logs a token's repr logs the token."""
    assert "secret" not in repr(PublicToken.parse("public-sandbox-secret"))
