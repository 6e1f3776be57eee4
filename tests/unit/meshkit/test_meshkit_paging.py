"""Page tokens come back as they went, for their own query only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.paging import (
    MAX_TOKEN_LENGTH,
    InvalidPageToken,
    decode_page_token,
    encode_page_token,
    page_size,
)

parts = st.lists(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=20), max_size=3
)
queries = st.lists(st.text(max_size=10), max_size=3)


@given(parts, queries)
def test_a_token_comes_back_as_it_went(cursor: list[str], query: list[str]) -> None:
    """decode(encode(cursor)) is the cursor, and the token fits the field."""
    token = encode_page_token(cursor, query)
    assert len(token) <= MAX_TOKEN_LENGTH
    assert decode_page_token(token, query, length=len(cursor)) == tuple(cursor)


@given(parts, queries, queries)
def test_a_token_belongs_to_one_query(
    cursor: list[str], query: list[str], other: list[str]
) -> None:
    """The token of another query is refused, even when the parts join to the same text."""
    token = encode_page_token(cursor, query)
    if query != other:
        with pytest.raises(InvalidPageToken):
            decode_page_token(token, other, length=len(cursor))


@given(st.text(max_size=300))
def test_any_other_text_is_refused(text: str) -> None:
    """Whatever a client makes up is INVALID_PAGE_TOKEN, never another exception."""
    if text:
        with pytest.raises(InvalidPageToken):
            decode_page_token(text, ["ListEntries"], length=1)


def test_a_changed_token_is_refused() -> None:
    """No single character of a token can be replaced."""
    token = encode_page_token(["12345"], ["ListEntries", "a"])
    for place, character in enumerate(token):
        for other in "AZaz09-_":
            # The last character has bits that stand for nothing; the same bytes are the same token.
            if other != character and place < len(token) - 1:
                changed = token[:place] + other + token[place + 1 :]
                with pytest.raises(InvalidPageToken):
                    decode_page_token(changed, ["ListEntries", "a"], length=1)


def test_a_cursor_of_another_shape_is_refused() -> None:
    """A token with more or fewer parts than the query's cursor has does not decode."""
    token = encode_page_token(["a", "b"], ["q"])
    with pytest.raises(InvalidPageToken):
        decode_page_token(token, ["q"], length=1)


def test_the_first_page_has_no_cursor() -> None:
    """The empty token is the first page."""
    assert decode_page_token("", ["q"], length=1) is None


@pytest.mark.parametrize(
    ("requested", "size"), [(0, 50), (1, 1), (500, 500), (501, 500), (2**31 - 1, 500), (-1, 50)]
)
def test_page_sizes_are_bounded(requested: int, size: int) -> None:
    """0 is the default, too many count as the maximum."""
    assert page_size(requested, default=50, maximum=500) == size


def test_a_cursor_too_long_is_the_services_own_fault() -> None:
    """A token that would not fit the request's field is never given out."""
    with pytest.raises(ValueError, match="256"):
        encode_page_token(["x" * 300], ["q"])
