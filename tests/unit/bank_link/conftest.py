"""Bank-link over fakes, and who calls it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from bank_link.bootstrap import new_link_id
from bank_link.domain import Link, Owner, RequestId, Wanted
from bank_link.handlers import BankLink
from bank_link.public_token import PublicToken
from bank_link.testing import MemoryBankData, MemoryStore
from meshkit import context
from meshkit.context import User
from meshkit.testing import FakeObjectPolicy, call_context

ALICE = User("alice", "acme", frozenset({"customer"}))


def rule(question: Mapping[str, object]) -> bool:
    """What the policy says of links: their owner only, to be used only once verified."""
    user, link = question["user"], question["object"]
    assert isinstance(link, Mapping)
    if not isinstance(user, Mapping):
        return False
    own = link["owner"] == user["sub"] and link["tenant"] == user["tenant"]
    return own and (question["action"] != "links.use" or link["state"] == "SUCCESS")


@dataclasses.dataclass(frozen=True)
class World:
    """The use cases and the fakes behind them."""

    bank_link: BankLink
    store: MemoryStore
    provider: MemoryBankData
    policy: FakeObjectPolicy

    @contextmanager
    def call(self, user: User | None = ALICE, caller: str = "gateway") -> Iterator[None]:
        """Within the block a call of `user` is being served."""
        with context.activate(call_context(caller, user)):
            yield

    def wanted(
        self, outcome: str = "success", user: User = ALICE, institution: str = "ins_one"
    ) -> Wanted:
        """A new request of the user's."""
        return Wanted(
            Owner(user.tenant, user.sub),
            RequestId(uuid.uuid4()),
            institution,
            PublicToken.parse(f"public-sandbox-{outcome}-{uuid.uuid4()}"),
        )

    async def link(self, outcome: str = "success", user: User = ALICE) -> Link:
        """A live link of the user's."""
        with self.call(user):
            return await self.bank_link.create(self.wanted(outcome, user))


@pytest.fixture
def world() -> World:
    """A world with nothing in it."""
    store, provider, policy = MemoryStore(), MemoryBankData(), FakeObjectPolicy(rule)
    return World(BankLink(store, provider, policy, new_link_id), store, provider, policy)
