"""Bank-link over a real PostgreSQL and a real provider over HTTPS: races, crashes, leftovers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from bank_link.bootstrap import new_link_id
from bank_link.domain import Link, LinkState, Owner, RequestId, Wanted
from bank_link.errors import LinkNotFoundError, LinkRemovedError, RequestIdReusedError
from bank_link.handlers import BankLink
from bank_link.providers.http import HttpBankData
from bank_link.public_token import PublicToken
from bank_link.store import PostgresStore
from meshkit import context
from meshkit.context import User
from meshkit.database import DatabaseUnavailable, open_pool
from meshkit.errors import MeshError
from meshkit.testing import FakeObjectPolicy, app_config, call_context
from simulators import testing
from simulators.server import running


class Crash(BaseException):
    """The process ended here; no handler of the service may catch it."""


@dataclasses.dataclass(frozen=True)
class World:
    """A user of their own, the use cases, and the provider's own view."""

    bank_link: BankLink
    user: User
    banks: httpx.AsyncClient

    def wanted(self, rest: str = "") -> Wanted:
        """A new request."""
        return Wanted(
            Owner(self.user.tenant, self.user.sub),
            RequestId(uuid.uuid4()),
            "ins_one",
            PublicToken.parse(f"public-sandbox-success-{rest}{uuid.uuid4()}"),
        )

    async def held(self) -> list[str]:
        """The references that the provider holds."""
        listed = (await self.banks.get("/_admin/references")).json()
        return [row["reference"] for row in listed["references"] if not row["removed"]]

    def crashing(self, place: str) -> BankLink:
        """The same service, in a process that ends at the place, such as `after exchange`."""
        when, method = place.split()
        part = "provider" if hasattr(self.bank_link.provider, method) else "store"
        broken = _Crashing(getattr(self.bank_link, part), method, after=when == "after")
        changes: dict[str, Any] = {part: broken}
        return dataclasses.replace(self.bank_link, **changes)


@pytest.fixture
async def world(postgres_store: PostgresStore, tmp_path: Path) -> AsyncIterator[World]:
    """A new user before a provider that holds nothing."""
    options, ca = testing.prepare(tmp_path)
    user = User(f"user-{secrets.token_hex(4)}", "acme", frozenset({"customer"}))
    async with (
        running(options) as (_cards_port, banks_port),
        testing.client(testing.BANKS_HOST, banks_port, ca) as banks,
    ):
        bank_link = BankLink(
            postgres_store,
            HttpBankData(banks, testing.API_KEY),
            FakeObjectPolicy.own_tenant(),
            new_link_id,
        )
        with context.activate(call_context("gateway", user)):
            yield World(bank_link, user, banks)


class _Crashing:
    """Passes calls on; before or after the named one the process ends."""

    def __init__(self, inner: Any, method: str, *, after: bool) -> None:
        self._inner, self._method, self._after = inner, method, after

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        call: Callable[..., Awaitable[Any]] = getattr(self._inner, name)
        if name != self._method:
            return call

        async def crash(*arguments: Any) -> Any:
            if self._after:
                await call(*arguments)
            raise Crash

        return crash


async def test_creates_that_race_are_one_link_and_one_reference(world: World) -> None:
    """Twelve calls with the same request id: one link, one reference at the provider."""
    wanted = world.wanted()
    links = await asyncio.gather(*(world.bank_link.create(wanted) for _ in range(12)))
    assert len({link.link_id for link in links}) == 1
    assert [link.reference.text for link in links[:1] if link.reference] == await world.held()


async def test_different_creates_that_race_for_one_request_id(world: World) -> None:
    """One wins, the others are told that the id is taken; one reference."""
    wanted = world.wanted()
    others = [
        dataclasses.replace(wanted, public_token=world.wanted().public_token) for _ in range(6)
    ]
    results = await asyncio.gather(
        *(world.bank_link.create(each) for each in others), return_exceptions=True
    )
    assert len([result for result in results if isinstance(result, Link)]) == 1
    assert len([result for result in results if isinstance(result, RequestIdReusedError)]) == 5
    assert len(await world.held()) == 1


@pytest.mark.parametrize(
    "place", ["after reserve", "after exchange", "before attach", "after attach"]
)
async def test_a_create_that_crashed_is_finished_by_the_next(world: World, place: str) -> None:
    """Wherever the process ends, the same request afterwards gives one link with one reference."""
    wanted = world.wanted()
    with pytest.raises(Crash):
        await world.crashing(place).create(wanted)
    link = await world.bank_link.create(wanted)
    assert link.reference is not None
    assert await world.held() == [link.reference.text]


@pytest.mark.parametrize("by", ["client", "sweep"])
@pytest.mark.parametrize(
    "place",
    ["after begin_removal", "after revoke", "before finish_removal", "after finish_removal"],
)
async def test_a_removal_that_crashed_is_finished(
    world: World, database: Any, place: str, by: str
) -> None:
    """By calling again or by the sweep: nothing at the provider, no reference in the row."""
    link = await world.bank_link.create(world.wanted())
    with pytest.raises(Crash):
        await world.crashing(place).remove(link.link_id)
    with pytest.raises(LinkNotFoundError):
        await world.bank_link.get(link.link_id, to_use=False)
    if by == "client":
        await world.bank_link.remove(link.link_id)
    else:
        await world.bank_link.finish_removals()
    assert await world.held() == []
    with psycopg.connect(database.superuser_dsn) as connection:
        row = connection.execute(
            "SELECT phase, reference FROM links WHERE link_id = %s", [link.link_id]
        ).fetchone()
    assert row == ("REMOVED", None)


async def test_the_provider_answers_late_or_not_at_all(world: World) -> None:
    """A lost answer, an error and a slow exchange, two callers each: one reference for each."""
    wanted = [world.wanted(rest) for rest in ("lost-", "error-", "slow-")]
    links = await asyncio.gather(*(world.bank_link.create(each) for each in wanted * 2))
    assert len({link.link_id for link in links}) == 3
    assert len(await world.held()) == 3


async def test_verify_and_remove_race(world: World) -> None:
    """Whoever wins, the link ends removed at both sides and no verdict is turned back."""
    links = [await world.bank_link.create(world.wanted()) for _ in range(6)]
    seen: list[Link] = []

    async def verify(link: Link) -> None:
        with contextlib.suppress(LinkRemovedError, LinkNotFoundError):
            seen.append(await world.bank_link.verify(link.link_id))

    await asyncio.gather(
        *(
            call
            for link in links
            for call in (verify(link), world.bank_link.remove(link.link_id), verify(link))
        )
    )
    assert {link.state for link in seen} <= {LinkState.SUCCESS}
    assert await world.held() == []


async def test_neither_token_nor_removed_reference_is_in_the_database(
    world: World, database: Any
) -> None:
    """A dump of the table has no public token, and no reference of a link that was removed."""
    wanted = world.wanted()
    link = await world.bank_link.create(wanted)
    assert link.reference is not None
    await world.bank_link.remove(link.link_id)
    with psycopg.connect(database.superuser_dsn) as connection:
        dump = str(connection.execute("SELECT links::text FROM links").fetchall())
    assert str(link.link_id) in dump
    assert wanted.public_token.text not in dump
    assert link.reference.text not in dump


async def test_without_the_database_the_provider_is_not_asked(world: World, tmp_path: Path) -> None:
    """DATABASE_UNAVAILABLE, and no reference came into being."""
    pool = await open_pool(app_config(tmp_path, dsn="host=/nowhere dbname=none connect_timeout=1"))
    try:
        in_a_hurry = call_context("gateway", world.user, deadline_seconds=_in(0.5))
        with context.activate(in_a_hurry), pytest.raises(DatabaseUnavailable) as failure:
            await dataclasses.replace(world.bank_link, store=PostgresStore(pool)).create(
                world.wanted()
            )
        assert isinstance(failure.value, MeshError)
    finally:
        await pool.close()
    assert await world.held() == []


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
