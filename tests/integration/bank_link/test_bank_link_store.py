"""The store's contract, kept by PostgreSQL and by the fake that the unit tests use."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import uuid

import pytest

from bank_link.bootstrap import new_link_id
from bank_link.domain import (
    Cursor,
    Link,
    LinkId,
    LinkState,
    Owner,
    Phase,
    Reference,
    RequestId,
    Wanted,
)
from bank_link.handlers import Store
from bank_link.public_token import PublicToken
from bank_link.testing import MemoryStore


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each implementation of Store."""
    if request.param == "memory":
        return MemoryStore()
    found: Store = request.getfixturevalue("postgres_store")
    return found


def _wanted(owner: Owner | None = None) -> Wanted:
    return Wanted(
        owner or Owner("acme", f"user-{uuid.uuid4()}"),
        RequestId(uuid.uuid4()),
        "ins_one",
        PublicToken.parse(f"public-sandbox-success-{uuid.uuid4()}"),
    )


def _reference() -> Reference:
    return Reference(f"ref_{secrets.token_hex(16)}")


async def _live(store: Store, owner: Owner | None = None) -> Link:
    reservation = await store.reserve(new_link_id(), _wanted(owner))
    link = await store.attach(reservation.link.link_id, _reference())
    assert link is not None
    return link


async def test_a_reservation_is_given_back(store: Store) -> None:
    """The first reservation of a request id counts; a later one gets its link and fingerprint."""
    wanted, first_id = _wanted(), new_link_id()
    first = await store.reserve(first_id, wanted)
    assert first.link.link_id == first_id
    assert (first.link.phase, first.link.state) == (Phase.RESERVED, LinkState.PENDING)
    assert (first.link.owner, first.link.institution_id) == (wanted.owner, "ins_one")
    assert first.fingerprint == wanted.fingerprint(first_id)
    other = dataclasses.replace(wanted, institution_id="ins_two")
    assert await store.reserve(new_link_id(), other) == first
    assert await store.get(first_id) == first.link


async def test_request_ids_belong_to_tenant_and_user(store: Store) -> None:
    """The same request id of another user or tenant is another link."""
    wanted = _wanted()
    owners = [
        wanted.owner,
        Owner(wanted.owner.tenant, "somebody-else"),
        Owner("globex", wanted.owner.sub),
    ]
    made = [
        await store.reserve(new_link_id(), dataclasses.replace(wanted, owner=owner))
        for owner in owners
    ]
    assert len({reservation.link.link_id for reservation in made}) == 3


async def test_the_same_request_at_once_is_one_reservation(store: Store) -> None:
    """Of twenty reservations that race, one counts and all twenty get it."""
    wanted = _wanted()
    reservations = await asyncio.gather(*(store.reserve(new_link_id(), wanted) for _ in range(20)))
    assert len({reservation.link.link_id for reservation in reservations}) == 1
    assert len({reservation.fingerprint for reservation in reservations}) == 1


async def test_a_reference_is_attached_once(store: Store) -> None:
    """Of ten references that race for a link, one stays; all ten calls see that one."""
    link = (await store.reserve(new_link_id(), _wanted())).link
    attached = await asyncio.gather(*(store.attach(link.link_id, _reference()) for _ in range(10)))
    assert len({found.reference for found in attached if found}) == 1
    assert {found.phase for found in attached if found} == {Phase.LIVE}


async def test_a_state_moves_once(store: Store) -> None:
    """Of SUCCESS and FAILED that race, one wins for good."""
    for _ in range(10):
        link = await _live(store)
        moved = await asyncio.gather(
            *(
                store.move(link.link_id, state)
                for state in [LinkState.SUCCESS, LinkState.FAILED] * 4
            )
        )
        assert len({found.state for found in moved if found}) == 1
        final = await store.get(link.link_id)
        assert final is not None
        assert final.state is not LinkState.PENDING
        assert final.update_time > link.update_time


@pytest.mark.parametrize("final", [LinkState.SUCCESS, LinkState.FAILED])
@pytest.mark.parametrize("other", LinkState)
async def test_a_final_state_stays(store: Store, final: LinkState, other: LinkState) -> None:
    """Moving a link that is SUCCESS or FAILED changes nothing, its update time included."""
    link = await _live(store)
    moved = await store.move(link.link_id, final)
    assert moved is not None
    assert moved.state is final
    assert await store.move(link.link_id, other) == moved


async def test_pending_stays_pending_unchanged(store: Store) -> None:
    """To move from PENDING to PENDING is no move."""
    link = await _live(store)
    assert await store.move(link.link_id, LinkState.PENDING) == link


async def test_removal_goes_by_its_steps(store: Store) -> None:
    """LIVE, REMOVING with the reference, REMOVED without it; each step twice is once."""
    link = await _live(store)
    assert await store.finish_removal(link.link_id) == link
    for _ in range(2):
        removing = await store.begin_removal(link.link_id)
        assert removing == dataclasses.replace(link, phase=Phase.REMOVING)
    assert removing in await store.being_removed(1000)
    for _ in range(2):
        removed = await store.finish_removal(link.link_id)
        assert removed == dataclasses.replace(link, phase=Phase.REMOVED, reference=None)
    assert removed not in await store.being_removed(1000)
    assert await store.begin_removal(link.link_id) == removed
    assert await store.attach(link.link_id, _reference()) == removed
    assert await store.move(link.link_id, LinkState.SUCCESS) == removed


async def test_a_reserved_link_only_waits_for_its_reference(store: Store) -> None:
    """It cannot be moved, nor removed."""
    link = (await store.reserve(new_link_id(), _wanted())).link
    assert await store.move(link.link_id, LinkState.SUCCESS) == link
    assert await store.begin_removal(link.link_id) == link
    assert await store.finish_removal(link.link_id) == link


async def test_no_link_is_no_link(store: Store) -> None:
    """Every call about an id that never was gives None."""
    nowhere = LinkId(uuid.uuid4())
    assert await store.get(nowhere) is None
    assert await store.attach(nowhere, _reference()) is None
    assert await store.move(nowhere, LinkState.SUCCESS) is None
    assert await store.begin_removal(nowhere) is None
    assert await store.finish_removal(nowhere) is None


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_pages_are_the_owners_live_links(store: Store, limit: int) -> None:
    """Newest first, each once: nobody else's, none reserved, none being or been removed."""
    owner = _wanted().owner
    own = [await _live(store, owner) for _ in range(6)]
    await _live(store, Owner(owner.tenant, "somebody-else"))
    await _live(store, Owner("globex", owner.sub))
    await store.reserve(new_link_id(), _wanted(owner))
    await store.begin_removal(own.pop(1).link_id)
    gone = own.pop(2).link_id
    await store.begin_removal(gone)
    await store.finish_removal(gone)
    listed: list[Link] = []
    after: Cursor | None = None
    while page := await store.live(owner, after, limit):
        assert len(page) <= limit
        listed += page
        after = Cursor(page[-1].create_time, page[-1].link_id)
    assert listed == own[::-1]


async def test_removal_and_verdict_race(store: Store) -> None:
    """Whichever comes first, the link ends removed, and its state went forward at most once."""
    for _ in range(10):
        link = await _live(store)
        await asyncio.gather(
            store.move(link.link_id, LinkState.SUCCESS),
            store.begin_removal(link.link_id),
            store.move(link.link_id, LinkState.FAILED),
            store.finish_removal(link.link_id),
        )
        end = await store.finish_removal(link.link_id)
        assert end is not None
        assert (end.phase, end.reference) == (Phase.REMOVED, None)
