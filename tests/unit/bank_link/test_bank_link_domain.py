"""The state machine of links: one way only."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank_link.domain import (
    Link,
    LinkId,
    LinkState,
    Owner,
    Phase,
    Reference,
    RequestId,
    Verdict,
    Wanted,
)
from bank_link.public_token import PublicToken

_START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_ORDER = [Phase.RESERVED, Phase.LIVE, Phase.REMOVING, Phase.REMOVED]

_references = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789_-", min_size=12, max_size=128)
_steps = st.lists(
    st.one_of(
        _references.map(lambda text: ("attach", Reference(text))),
        st.sampled_from(LinkState).map(lambda state: ("move", state)),
        st.just(("remove", None)),
        st.just(("erase", None)),
    ),
    max_size=12,
)


def _reserved() -> Link:
    return Link(
        link_id=LinkId(uuid.uuid4()),
        owner=Owner("acme", "alice"),
        institution_id="ins_one",
        state=LinkState.PENDING,
        phase=Phase.RESERVED,
        reference=None,
        create_time=_START,
        update_time=_START,
    )


def _step(link: Link, step: tuple[str, object], now: dt.datetime) -> Link:
    match step:
        case ("attach", Reference() as reference):
            return link.attached(reference)
        case ("move", LinkState() as state):
            return link.moved(state, now)
        case ("remove", _):
            return link.removing()
        case _:
            return link.removed()


@given(_steps)
def test_no_sequence_of_steps_goes_back(steps: list[tuple[str, object]]) -> None:
    """A final state stays, a phase is never left for an earlier one, a reference never changes."""
    link = _reserved()
    for number, step in enumerate(steps, start=1):
        before, now = link, _START + dt.timedelta(seconds=number)
        link = _step(link, step, now)
        assert _ORDER.index(link.phase) - _ORDER.index(before.phase) in {0, 1}
        if link.state is not before.state:
            assert before.state is LinkState.PENDING
            assert before.phase is Phase.LIVE
        assert (link.update_time == now) is (link.state is not before.state)
        if before.reference is not None:
            assert link.reference in {before.reference, None}
        assert (link.reference is not None) is (link.phase in {Phase.LIVE, Phase.REMOVING})
        assert (link.link_id, link.owner) == (before.link_id, before.owner)


@given(_steps)
def test_every_step_twice_is_once(steps: list[tuple[str, object]]) -> None:
    """Repeating a step changes nothing."""
    link = _reserved()
    for step in steps:
        link = _step(link, step, _START)
        assert _step(link, step, _START + dt.timedelta(days=1)) == link


@pytest.mark.parametrize("state", LinkState)
@pytest.mark.parametrize("verdict", Verdict)
def test_only_pending_heeds_the_verdict(state: LinkState, verdict: Verdict) -> None:
    """PENDING becomes what the provider says; SUCCESS and FAILED stay, whatever it says."""
    expected = {
        Verdict.PENDING: LinkState.PENDING,
        Verdict.VERIFIED: LinkState.SUCCESS,
        Verdict.FAILED: LinkState.FAILED,
    }[verdict]
    assert state.after(verdict) is (expected if state is LinkState.PENDING else state)


def test_impossible_links_cannot_be_made() -> None:
    """No reference before LIVE or after removal, none missing in between, no verdict before it."""
    reference = Reference("ref_abcdefghi")
    for phase, held, state in [
        (Phase.RESERVED, reference, LinkState.PENDING),
        (Phase.LIVE, None, LinkState.PENDING),
        (Phase.REMOVING, None, LinkState.SUCCESS),
        (Phase.REMOVED, reference, LinkState.FAILED),
        (Phase.RESERVED, None, LinkState.SUCCESS),
    ]:
        with pytest.raises(ValueError, match="a link"):
            Link(LinkId(uuid.uuid4()), Owner("a", "b"), "ins_x", state, phase, held, _START, _START)


@given(_references)
def test_a_masked_reference_shows_four_characters(text: str) -> None:
    """All but the last four characters are masked, and the repr shows none."""
    masked = Reference(text).masked()
    assert (len(masked), masked[-4:], set(masked[:-4])) == (len(text), text[-4:], {"*"})
    assert text not in repr(Reference(text))


@pytest.mark.parametrize(
    "text", ["", "short", "a" * 129, "ref abcdefghij", "../references/x", "é" * 20]
)
def test_other_text_is_no_reference(text: str) -> None:
    """What could change a URL, or is too short or too long, is no reference."""
    with pytest.raises(ValueError, match="not a reference"):
        Reference(text)


def test_a_fingerprint_tells_requests_apart_and_nothing_more() -> None:
    """It depends on institution, token and link: the same token leaves different traces."""

    def wanted(institution: str, token: str) -> Wanted:
        return Wanted(
            Owner("acme", "alice"),
            RequestId(uuid.uuid4()),
            institution,
            PublicToken.parse(token),
        )

    one, two = LinkId(uuid.uuid4()), LinkId(uuid.uuid4())
    first = wanted("ins_one", "public-sandbox-aaaa")
    prints = {
        first.fingerprint(one),
        first.fingerprint(two),
        wanted("ins_two", "public-sandbox-aaaa").fingerprint(one),
        wanted("ins_one", "public-sandbox-aaab").fingerprint(one),
    }
    assert len(prints) == 4
    assert wanted("ins_one", "public-sandbox-aaaa").fingerprint(one) == first.fingerprint(one)


@pytest.mark.parametrize(
    ("phase", "state"),
    [(Phase.LIVE, "PENDING"), (Phase.REMOVING, "REMOVED"), (Phase.REMOVED, "REMOVED")],
)
def test_the_policy_is_told_whose_and_where(phase: Phase, state: str) -> None:
    """The facts are tenant, owner and state, a link on its way out being REMOVED already."""
    link = _reserved().attached(Reference("ref_abcdefghi"))
    if phase is not Phase.LIVE:
        link = link.removing()
    if phase is Phase.REMOVED:
        link = link.removed()
    assert link.facts() == {"tenant": "acme", "owner": "alice", "state": state}
