"""Whatever happens in whatever order: no way back, and no reference left behind."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from bank_link.bootstrap import new_link_id
from bank_link.domain import Link, LinkId, LinkState, Owner, Phase, RequestId, Wanted
from bank_link.errors import ProviderUnavailableError
from bank_link.handlers import BankLink
from bank_link.public_token import PublicToken
from bank_link.testing import MemoryBankData, MemoryStore
from meshkit import context
from meshkit.context import User
from meshkit.errors import MeshError
from meshkit.testing import FakeObjectPolicy, call_context

_ALICE = User("alice", "acme", frozenset({"customer"}))
_PHASES = [Phase.RESERVED, Phase.LIVE, Phase.REMOVING, Phase.REMOVED]
_REQUESTS = [
    Wanted(
        Owner("acme", "alice"),
        RequestId(uuid.UUID(int=number)),
        "ins_one",
        PublicToken.parse(f"public-sandbox-{outcome}-abcdefgh"),
    )
    for number, outcome in enumerate(["success", "pending", "failed"])
]

_operations = st.tuples(
    st.sampled_from(["create", "verify", "remove", "get", "sweep"]),
    st.integers(0, len(_REQUESTS) - 1),
    st.sampled_from(["up", "up", "down", "lost"]),
)


class _Run:
    """One run of operations; the same checks after each."""

    def __init__(self) -> None:
        self.store, self.provider = MemoryStore(), MemoryBankData()
        self.bank_link = BankLink(
            self.store, self.provider, FakeObjectPolicy.own_tenant(), new_link_id
        )
        self.seen: dict[LinkId, Link] = {}
        self.by_request: dict[int, LinkId] = {}

    async def step(self, name: str, number: int, weather: str) -> None:
        self.provider.available = weather != "down"
        self.provider.fail_after = weather == "lost"
        with contextlib.suppress(MeshError):
            await self._do(name, number)
        self.provider.available, self.provider.fail_after = True, False
        self._check()

    async def finish(self) -> None:
        """What clients and the sweep do once the provider is back."""
        for number in range(len(_REQUESTS)):
            with contextlib.suppress(MeshError):
                await self._do("create", number)
        await self.bank_link.finish_removals()
        held = {link.reference for link in self.store.links.values() if link.reference}
        assert set(self.provider.references) == held
        assert {link.phase for link in self.store.links.values()} <= {Phase.LIVE, Phase.REMOVED}

    async def _do(self, name: str, number: int) -> None:
        link_id = self.by_request.get(number, LinkId(uuid.uuid4()))
        match name:
            case "create":
                link = await self.bank_link.create(_REQUESTS[number])
                assert self.by_request.setdefault(number, link.link_id) == link.link_id
            case "verify":
                await self.bank_link.verify(link_id)
            case "remove":
                await self.bank_link.remove(link_id)
            case "get":
                link = await self.bank_link.get(link_id, to_use=False)
                assert link.phase is Phase.LIVE
            case _:
                await self.bank_link.finish_removals()

    def _check(self) -> None:
        for link_id, now in self.store.links.items():
            before = self.seen.get(link_id)
            if before is not None:
                assert _PHASES.index(now.phase) >= _PHASES.index(before.phase)
                assert before.state in {LinkState.PENDING, now.state}
            self.seen[link_id] = now


@given(st.lists(_operations, max_size=25))
@settings(max_examples=200, deadline=None)
def test_nothing_goes_back_and_nothing_is_left_behind(
    operations: list[tuple[str, int, str]],
) -> None:
    """States and phases only go forward, and once everybody has called again, the provider holds
    exactly the references of the links that there are.
    """

    async def play() -> None:
        run = _Run()
        with context.activate(call_context("gateway", _ALICE)):
            for operation in operations:
                await run.step(*operation)
            await run.finish()

    asyncio.run(play())


@given(st.permutations(["create", "create", "verify", "remove", "verify", "remove"]))
@settings(max_examples=60, deadline=None)
def test_calls_at_once_end_as_calls_in_some_order(names: list[str]) -> None:
    """Calls that interleave at every await leave one link, forward only, and nothing behind."""

    async def play() -> None:
        store, provider = _Yielding(), MemoryBankData()
        bank_link = BankLink(store, provider, FakeObjectPolicy.own_tenant(), new_link_id)
        with context.activate(call_context("gateway", _ALICE)):
            link = await bank_link.create(_REQUESTS[0])

            async def call(name: str) -> None:
                with contextlib.suppress(MeshError):
                    match name:
                        case "create":
                            await bank_link.create(_REQUESTS[0])
                        case "verify":
                            await bank_link.verify(link.link_id)
                        case _:
                            await bank_link.remove(link.link_id)

            await asyncio.gather(*(call(name) for name in names))
        assert [found.phase for found in store.links.values()] == [Phase.REMOVED]
        assert provider.references == {}

    asyncio.run(play())


@dataclasses.dataclass
class _Yielding(MemoryStore):
    """Lets others run before and after each access."""

    async def get(self, link_id: LinkId) -> Link | None:
        await asyncio.sleep(0)
        found = await super().get(link_id)
        await asyncio.sleep(0)
        return found

    async def begin_removal(self, link_id: LinkId) -> Link | None:
        await asyncio.sleep(0)
        found = await super().begin_removal(link_id)
        await asyncio.sleep(0)
        return found

    async def move(self, link_id: LinkId, state: LinkState) -> Link | None:
        await asyncio.sleep(0)
        return await super().move(link_id, state)


def test_unavailable_is_what_the_fake_provider_raises() -> None:
    """The runs above suppress MeshError: the provider's failures are of that kind."""
    assert issubclass(ProviderUnavailableError, MeshError)
