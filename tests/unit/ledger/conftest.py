"""A ledger in memory behind the real server, and settings of Hypothesis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from ledger.bootstrap import registration
from ledger.handlers import Ledger
from ledger.testing import MemoryStore
from meshkit.testing import FakeObjectPolicy, app_config, serving
from paymesh.ledger.v1.ledger_pb2_grpc import LedgerServiceStub

# On a busy machine slow is not wrong.
settings.register_profile("paymesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("paymesh")


if TYPE_CHECKING:  # the class is in the generated stubs only
    from paymesh.ledger.v1.ledger_pb2_grpc import LedgerServiceAsyncStub


def _rule(question: Mapping[str, object]) -> bool:
    """Workloads may all; users what is of their own tenant."""
    user, facts = question["user"], question["object"]
    assert isinstance(facts, Mapping)
    return user is None or (isinstance(user, Mapping) and user["tenant"] == facts["tenant"])


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[LedgerServiceAsyncStub]:
    """A client of a new ledger behind the real server and its interceptors."""
    config = app_config(tmp_path)
    ledger = Ledger(store=MemoryStore(), policy=FakeObjectPolicy(_rule))
    async with serving([registration(ledger, config)], config) as channel:
        yield LedgerServiceStub(channel)
