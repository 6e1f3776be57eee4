"""The use cases, over fakes."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from typing import Any

import pytest

from bank_link.domain import LinkId, LinkState, Owner, Phase
from bank_link.errors import (
    CredentialsRefusedError,
    LinkNotFoundError,
    LinkRemovedError,
    ProviderUnavailableError,
    PublicTokenRejectedError,
    RequestIdReusedError,
)
from bank_link.public_token import PublicToken
from meshkit.context import User
from meshkit.pdp import PolicyUnavailable

ALICE = User("alice", "acme", frozenset({"customer"}))
ALICE_ELSEWHERE = User("alice", "globex", frozenset({"customer"}))
COLLEAGUE = User("carol", "acme", frozenset({"customer"}))


async def test_a_link_begins_pending_and_is_verified(world: Any) -> None:
    """Create gives PENDING; verify moves it to what the provider says, once."""
    link = await world.link("success")
    assert (link.state, link.phase) == (LinkState.PENDING, Phase.LIVE)
    with world.call():
        verified = await world.bank_link.verify(link.link_id)
        again = await world.bank_link.verify(link.link_id)
    assert verified.state is LinkState.SUCCESS
    assert verified.update_time >= link.update_time
    assert again == verified


@pytest.mark.parametrize(
    ("outcome", "states"),
    [
        ("pending", [LinkState.PENDING, LinkState.SUCCESS]),
        ("failed", [LinkState.FAILED, LinkState.FAILED]),
    ],
)
async def test_verify_follows_the_provider(
    world: Any, outcome: str, states: list[LinkState]
) -> None:
    """A verification that takes time is PENDING until the provider has come to a verdict."""
    link = await world.link(outcome)
    with world.call():
        assert [(await world.bank_link.verify(link.link_id)).state for _ in states] == states


async def test_a_final_state_is_not_asked_about(world: Any) -> None:
    """A link that is verified is answered without the provider."""
    link = await world.link("success")
    with world.call():
        await world.bank_link.verify(link.link_id)
        world.provider.available = False
        assert (await world.bank_link.verify(link.link_id)).state is LinkState.SUCCESS


async def test_the_same_request_gives_the_same_link(world: Any) -> None:
    """Creating again with the same id and contents asks the provider no second time."""
    wanted = world.wanted()
    with world.call():
        first = await world.bank_link.create(wanted)
        assert await world.bank_link.create(wanted) == first
    assert len(world.provider.exchanges) == 1


async def test_a_request_id_belongs_to_its_contents(world: Any) -> None:
    """Another token or institution under the same id is refused before the provider is asked."""
    wanted = world.wanted()
    with world.call():
        await world.bank_link.create(wanted)
        for other in (
            dataclasses.replace(wanted, institution_id="ins_two"),
            dataclasses.replace(wanted, public_token=PublicToken.parse("public-sandbox-success-b")),
        ):
            with pytest.raises(RequestIdReusedError):
                await world.bank_link.create(other)
    assert len(world.provider.exchanges) == 1


@pytest.mark.parametrize("other", [ALICE_ELSEWHERE, COLLEAGUE])
async def test_request_ids_are_the_users_own(world: Any, other: User) -> None:
    """Two users with the same request id get two links, also within a tenant."""
    wanted = world.wanted()
    theirs = dataclasses.replace(wanted, owner=Owner(other.tenant, other.sub))
    with world.call():
        first = await world.bank_link.create(wanted)
    with world.call(other):
        assert (await world.bank_link.create(theirs)).link_id != first.link_id


async def test_a_lost_exchange_is_finished_by_calling_again(world: Any) -> None:
    """Reserved but not attached: nobody sees it; the retry has the same key and one reference."""
    wanted = world.wanted()
    world.provider.fail_after = True
    with world.call():
        with pytest.raises(ProviderUnavailableError):
            await world.bank_link.create(wanted)
        [reserved] = world.store.links
        with pytest.raises(LinkNotFoundError):
            await world.bank_link.get(reserved, to_use=False)
        assert await world.bank_link.list(wanted.owner, None, 10) == []
        link = await world.bank_link.create(wanted)
    assert link.link_id == reserved
    assert world.provider.exchanges == [str(reserved)] * 2
    assert set(world.provider.references) == {link.reference}


async def test_concurrent_creates_are_one_link(world: Any) -> None:
    """Ten calls with the same request id give one link and one reference."""
    wanted = world.wanted()
    with world.call():
        links = await asyncio.gather(*(world.bank_link.create(wanted) for _ in range(10)))
    assert len({link.link_id for link in links}) == 1
    assert set(world.provider.references) == {links[0].reference}


async def test_a_rejected_token_leaves_nothing_to_see(world: Any) -> None:
    """PUBLIC_TOKEN_REJECTED, and no link appears."""
    wanted = world.wanted("unheard-of")
    with world.call():
        with pytest.raises(PublicTokenRejectedError):
            await world.bank_link.create(wanted)
        assert await world.bank_link.list(wanted.owner, None, 10) == []


async def test_an_account_number_as_institution_is_refused(world: Any) -> None:
    """The institution's id is looked at too, before anything is stored."""
    with world.call(), pytest.raises(CredentialsRefusedError):
        await world.bank_link.create(world.wanted(institution="ins_4111111111111111"))
    assert world.store.links == {}


async def test_removing_erases_at_both_sides(world: Any) -> None:
    """The provider takes the reference back, the row stays without it, and twice is once."""
    link = await world.link()
    with world.call():
        await world.bank_link.remove(link.link_id)
        await world.bank_link.remove(link.link_id)
    assert world.provider.references == {}
    tombstone = world.store.links[link.link_id]
    assert (tombstone.phase, tombstone.reference) == (Phase.REMOVED, None)


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_an_interrupted_removal_is_finished_by_calling_again(world: Any, lost: str) -> None:
    """From the first attempt on the link is out of use; the second erases it."""
    link = await world.link()
    with world.call():
        world.provider.available = lost != "before"
        world.provider.fail_after = lost == "after"
        with pytest.raises(ProviderUnavailableError):
            await world.bank_link.remove(link.link_id)
        with pytest.raises(LinkNotFoundError):
            await world.bank_link.get(link.link_id, to_use=False)
        with pytest.raises(LinkRemovedError):
            await world.bank_link.verify(link.link_id)
        assert await world.bank_link.list(link.owner, None, 10) == []
        world.provider.available = True
        await world.bank_link.remove(link.link_id)
    assert world.provider.references == {}
    assert world.store.links[link.link_id].reference is None


async def test_the_sweep_finishes_what_nobody_called_for_again(world: Any) -> None:
    """Interrupted removals are finished in the background, without a call being served."""
    links = [await world.link() for _ in range(3)]
    world.provider.available = False
    for link in links[:2]:
        with world.call(), pytest.raises(ProviderUnavailableError):
            await world.bank_link.remove(link.link_id)
    assert await world.bank_link.finish_removals() == 0
    world.provider.available = True
    assert await world.bank_link.finish_removals() == 2
    assert await world.bank_link.finish_removals() == 0
    assert set(world.provider.references) == {links[2].reference}


async def test_a_removed_link_is_gone(world: Any) -> None:
    """Get: NOT_FOUND. Verify: LINK_REMOVED. Create with its request id: refused, not made anew."""
    wanted = world.wanted()
    with world.call():
        link = await world.bank_link.create(wanted)
        await world.bank_link.remove(link.link_id)
        with pytest.raises(LinkNotFoundError):
            await world.bank_link.get(link.link_id, to_use=False)
        with pytest.raises(LinkRemovedError):
            await world.bank_link.verify(link.link_id)
        with pytest.raises(RequestIdReusedError):
            await world.bank_link.create(wanted)
    assert world.provider.references == {}


async def test_a_create_overtaken_by_its_removal_leaves_nothing(world: Any) -> None:
    """A late duplicate of the create, after the link was removed, leaves no reference behind."""
    wanted = world.wanted()
    late = asyncio.Event()
    exchange = world.provider.exchange

    async def slow(token: Any, key: str) -> Any:
        await late.wait()
        return await exchange(token, key)

    with world.call():
        world.provider.exchange = slow
        first = asyncio.create_task(world.bank_link.create(wanted))
        await asyncio.sleep(0)
        world.provider.exchange = exchange
        link = await world.bank_link.create(wanted)
        await world.bank_link.remove(link.link_id)
        # As a provider that forgot the key as well would: a new reference.
        world.provider._by_key.clear()
        late.set()
        with pytest.raises(RequestIdReusedError):
            await first
    assert world.provider.references == {}
    assert world.store.links[link.link_id].reference is None


async def test_verify_overtaken_by_removal_says_removed(world: Any) -> None:
    """A verdict that arrives after the removal changes nothing; an unknown reference neither."""
    link = await world.link("success")
    ask = world.provider.verdict

    async def remove_first(reference: Any) -> Any:
        await world.bank_link.remove(link.link_id)
        return await ask(reference)

    world.provider.verdict = remove_first
    with world.call(), pytest.raises(LinkRemovedError):
        await world.bank_link.verify(link.link_id)
    assert world.store.links[link.link_id].state is LinkState.PENDING


async def test_an_unknown_reference_concludes_nothing(world: Any) -> None:
    """A provider that does not know a live link's reference is unavailable, the link unchanged."""
    link = await world.link("success")
    world.provider.references.clear()
    with world.call(), pytest.raises(ProviderUnavailableError):
        await world.bank_link.verify(link.link_id)
    assert world.store.links[link.link_id] == link


@pytest.mark.parametrize("user", [ALICE_ELSEWHERE, COLLEAGUE, None])
async def test_somebody_elses_link_is_no_link(world: Any, user: User | None) -> None:
    """Whoever is not the owner gets the very answer that a link that never was gives."""
    link = await world.link()
    answers = []
    for link_id in (link.link_id, LinkId(uuid.uuid4())):
        for call in (
            lambda at: world.bank_link.get(at, to_use=False),
            lambda at: world.bank_link.get(at, to_use=True),
            world.bank_link.verify,
            world.bank_link.remove,
        ):
            with world.call(user), pytest.raises(LinkNotFoundError) as refusal:
                await call(link_id)
            answers.append((refusal.value.message, dict(refusal.value.metadata)))
    assert len({repr(answer) for answer in answers}) == 1
    assert world.store.links[link.link_id] == link


async def test_somebody_elses_removed_link_is_no_link(world: Any) -> None:
    """That a link was removed is its owner's to know."""
    link = await world.link()
    with world.call():
        await world.bank_link.remove(link.link_id)
    with world.call(COLLEAGUE), pytest.raises(LinkNotFoundError):
        await world.bank_link.verify(link.link_id)


async def test_only_a_verified_link_can_be_used(world: Any) -> None:
    """To use a link is another question than to read it, and asked with its state."""
    link = await world.link("success")
    with world.call(caller="payments"), pytest.raises(LinkNotFoundError):
        await world.bank_link.get(link.link_id, to_use=True)
    with world.call():
        assert await world.bank_link.get(link.link_id, to_use=False) == link
        await world.bank_link.verify(link.link_id)
    with world.call(caller="payments"):
        used = await world.bank_link.get(link.link_id, to_use=True)
    assert used.state is LinkState.SUCCESS
    question = world.policy.questions[-1]
    assert question["action"] == "links.use"
    assert question["object"] == {"tenant": "acme", "owner": "alice", "state": "SUCCESS"}


async def test_without_a_policy_engine_nothing_is_done(world: Any) -> None:
    """PDP down: UNAVAILABLE, and neither the provider nor the store is touched."""
    link = await world.link()
    world.policy.available = False
    for call in (
        lambda: world.bank_link.get(link.link_id, to_use=False),
        lambda: world.bank_link.verify(link.link_id),
        lambda: world.bank_link.remove(link.link_id),
    ):
        with world.call(), pytest.raises(PolicyUnavailable):
            await call()
    assert world.store.links[link.link_id] == link
    assert set(world.provider.references) == {link.reference}
