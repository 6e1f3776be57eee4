"""Both simulators over real HTTPS, in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from simulators import testing
from simulators.options import Options
from simulators.server import running


@dataclasses.dataclass(frozen=True)
class Simulators:
    """Clients with the right key, and where to reach the servers without one."""

    cards: httpx.AsyncClient
    banks: httpx.AsyncClient
    cards_port: int
    banks_port: int
    ca: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with throwaway certificates."""
    directory = tmp_path_factory.mktemp("tls")
    testing.make_certificates(directory)
    return directory


@pytest.fixture
def options(certificates: Path, tmp_path: Path) -> Options:
    """Fresh state, the session's certificates."""
    prepared, _ca = testing.prepare(tmp_path)
    return dataclasses.replace(prepared, tls_dir=certificates)


@pytest.fixture
async def simulators(options: Options) -> AsyncIterator[Simulators]:
    """Running servers with fresh state."""
    ca = options.tls_dir / "ca.pem"
    async with (
        running(options) as (cards_port, banks_port),
        testing.client(testing.CARDS_HOST, cards_port, ca) as cards,
        testing.client(testing.BANKS_HOST, banks_port, ca) as banks,
    ):
        yield Simulators(cards, banks, cards_port, banks_port, ca)
