"""The command against a real ledger server, over a plain channel in place of the mesh."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import io
import json
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from ledger.bootstrap import registration
from ledger.domain import Account, AccountKind, Balance, Leg, Opening, Posting, RequestId
from ledger.handlers import Ledger
from ledger.testing import MemoryStore
from meshkit.identity import SpiffeId
from meshkit.mesh_client import MeshIdentityError
from meshkit.money import Currency, Money
from meshkit.testing import FakeObjectPolicy, app_config, headers, serving
from statements import cli, reader

PAYMENTS = SpiffeId.of_workload("paymesh.internal", "paymesh", "payments")
ENVIRONMENT = {
    "PAYMESH_LEDGER_ADDRESS": "127.0.0.1:1",
    "SPIFFE_ENDPOINT_SOCKET": "unix:///nowhere/api.sock",
}


class _Details(NamedTuple):
    """What gRPC's interceptors pass on."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class _AsSidecar(grpc.UnaryUnaryClientInterceptor):
    """Adds what the ledger's sidecar would."""

    def intercept_unary_unary(self, continuation, client_call_details, request):
        details = _Details(
            client_call_details.method,
            client_call_details.timeout,
            headers("statements"),
            client_call_details.credentials,
            client_call_details.wait_for_ready,
            client_call_details.compression,
        )
        return continuation(details, request)


@dataclasses.dataclass
class Bench:
    """A ledger, its policy and a client of the command's for it."""

    store: MemoryStore
    policy: FakeObjectPolicy
    socket: Path
    clients: int = 0
    out: io.StringIO = dataclasses.field(default_factory=io.StringIO)
    err: io.StringIO = dataclasses.field(default_factory=io.StringIO)

    @contextlib.contextmanager
    def client(self, callee: str, address: str) -> Iterator[grpc.Channel]:
        """In place of MeshClient."""
        assert (callee, address) == ("ledger", "127.0.0.1:1")
        self.clients += 1
        with grpc.insecure_channel(f"unix:{self.socket}") as channel:
            yield grpc.intercept_channel(channel, _AsSidecar())

    async def run(self, *arguments: str) -> int:
        """The command, in a thread of its own."""
        return await asyncio.to_thread(
            cli.main,
            ["--legal-entity", "acme", *arguments],
            ENVIRONMENT,
            self.client,
            cli.Console(self.out, self.err),
        )

    async def opened(self, currency: str = "EUR", legal_entity: str = "acme") -> Account:
        """A new account."""
        opening = Opening(legal_entity, AccountKind.MERCHANT, Currency.parse(currency))
        return await self.store.open_account(PAYMENTS, RequestId(uuid.uuid4()), opening)

    async def post(self, debit: Account, credit: Account, units: int, reference: str = "") -> None:
        """A transfer of two legs."""
        legs = (
            Leg(debit.account_id, Money(debit.currency, -units)),
            Leg(credit.account_id, Money(credit.currency, units)),
        )
        await self.store.post(
            PAYMENTS, RequestId(uuid.uuid4()), Posting(legs=legs, reference=reference), "acme"
        )


@contextlib.asynccontextmanager
async def bench_with(store: MemoryStore, directory: Path) -> AsyncIterator[Bench]:
    """A bench around a store."""
    config = app_config(directory)
    policy = FakeObjectPolicy.allow_all()
    async with serving([registration(Ledger(store=store, policy=policy), config)], config):
        yield Bench(store, policy, config.app_socket)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench with an empty ledger."""
    async with bench_with(MemoryStore(), tmp_path) as bench:
        yield bench


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two, so that there are many."""
    monkeypatch.setattr(reader, "PAGE_SIZE", 2)


@pytest.mark.usefixtures("small_pages")
async def test_statements_as_json(bench: Bench) -> None:
    """All accounts of the legal entity with all entries over many pages, and exit status 0."""
    accounts = [await bench.opened() for _ in range(3)] + [await bench.opened("JPY")]
    await bench.opened(legal_entity="globex")
    for units in range(1, 6):
        await bench.post(accounts[0], accounts[1], units, f"order {units}")
    assert await bench.run("-o", "json") == cli.EXIT_OK
    document = json.loads(bench.out.getvalue())
    assert (document["legal_entity"], document["verified"]) == ("acme", True)
    by_id = {account["account_id"]: account for account in document["accounts"]}
    assert set(by_id) == {str(account.account_id) for account in accounts}
    credited = by_id[str(accounts[1].account_id)]
    assert [entry["minor_units"] for entry in credited["entries"]] == [1, 2, 3, 4, 5]
    assert credited["entries"][4]["reference"] == "order 5"
    assert (credited["opening_minor_units"], credited["closing_minor_units"]) == (0, 15)
    assert (credited["entry_count"], credited["verdict"]) == (5, "ADDS_UP")
    assert sum(account["closing_minor_units"] for account in document["accounts"]) == 0


async def test_statements_as_text(bench: Bench) -> None:
    """Opening balance, entries and closing balance of each account, and the conclusion."""
    one, two = await bench.opened("KWD"), await bench.opened("KWD")
    await bench.post(one, two, 1250, "order 17")
    assert await bench.run() == cli.EXIT_OK
    text = bench.out.getvalue()
    assert f"Account {two.account_id}, merchant\n" in text
    assert "KWD 1.250  order 17\n" in text
    assert "KWD -1.250  adds up\n" in text
    assert text.endswith("2 accounts: 2 add up, 0 do not, 0 could not be verified\n")


async def test_since_a_day(bench: Bench) -> None:
    """What was posted before the first day is in the opening balance."""
    one, two = await bench.opened(), await bench.opened()
    await bench.post(one, two, 1250)
    tomorrow = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).date().isoformat()
    assert await bench.run("-o", "json", "--since", tomorrow) == cli.EXIT_OK
    accounts = json.loads(bench.out.getvalue())["accounts"]
    assert {account["opening_minor_units"] for account in accounts} == {-1250, 1250}
    assert [account["entries"] for account in accounts] == [[], []]


async def test_a_ledger_that_is_wrong(tmp_path: Path) -> None:
    """A balance that the entries do not make is found out: exit status 1."""

    class WrongStore(MemoryStore):
        async def balance(self, account: Account) -> Balance:
            true = await super().balance(account)
            return dataclasses.replace(true, minor_units=true.minor_units + 1)

    async with bench_with(WrongStore(), tmp_path) as bench:
        one, two = await bench.opened(), await bench.opened()
        await bench.post(one, two, 1250)
        assert await bench.run("-o", "json") == cli.EXIT_DOES_NOT_ADD_UP
    document = json.loads(bench.out.getvalue())
    assert document["verified"] is False
    assert [account["verdict"] for account in document["accounts"]] == ["DOES_NOT_ADD_UP"] * 2


class BusyStore(MemoryStore):
    """Somebody posts a transfer each time the entries of the first account are read."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.post_one: Callable[[], Any] | None = None

    async def entries(self, account: Account, after: int, limit: int):
        """As the ledger's, and then comes another."""
        entries = await super().entries(account, after, limit)
        if self.times and self.post_one is not None:
            self.times -= 1
            await self.post_one()
        return entries


@pytest.mark.parametrize(
    ("times", "status"), [(reader.MAX_READINGS - 1, cli.EXIT_OK), (10**6, cli.EXIT_NOT_READ)]
)
async def test_transfers_meanwhile(tmp_path: Path, times: int, status: int) -> None:
    """An account to which transfers are posted meanwhile is read again; one that never rests
    is said to be not verified, neither right nor wrong.
    """
    store = BusyStore(times)
    async with bench_with(store, tmp_path) as bench:
        one, two = await bench.opened(), await bench.opened()
        store.post_one = lambda: bench.post(one, two, 1)
        assert await bench.run("-o", "json") == status
    document = json.loads(bench.out.getvalue())
    assert document["verified"] is (status == cli.EXIT_OK)
    verdicts = {account["verdict"] for account in document["accounts"]}
    assert verdicts == {"ADDS_UP" if status == cli.EXIT_OK else "UNSETTLED"}


async def test_a_ledger_that_refuses(bench: Bench) -> None:
    """A refusal is printed with its status and reason: exit status 3, nothing on stdout."""
    bench.policy.available = False
    assert await bench.run() == cli.EXIT_NOT_READ
    assert bench.out.getvalue() == ""
    assert "UNAVAILABLE POLICY_ENGINE_UNAVAILABLE" in bench.err.getvalue()


def test_without_an_identity() -> None:
    """No SVID is one sentence and exit status 3."""

    def client(_callee: str, _address: str):
        raise MeshIdentityError("There is no SVID.")

    console = cli.Console(io.StringIO(), io.StringIO())
    status = cli.main(["--legal-entity", "acme"], ENVIRONMENT, client, console)
    assert status == cli.EXIT_NOT_READ
    assert console.err.getvalue() == "There is no SVID.\n"


@pytest.mark.parametrize("missing", sorted(ENVIRONMENT))
def test_without_configuration(missing: str) -> None:
    """A variable that is missing is named, and nothing is connected to."""

    def client(_callee: str, _address: str):
        raise AssertionError("connected")

    environment = {key: value for key, value in ENVIRONMENT.items() if key != missing}
    console = cli.Console(io.StringIO(), io.StringIO())
    status = cli.main(["--legal-entity", "acme"], environment, client, console)
    assert status == cli.EXIT_CONFIG
    assert console.err.getvalue() == f"{missing} is not set.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--legal-entity", "acme", "--watch", "0"],
        ["--legal-entity", "acme", "--watch", "nan"],
        ["--legal-entity", "acme", "--since", "yesterday"],
        ["--legal-entity", "acme", "-o", "xml"],
    ],
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments are exit status 2 and a usage."""

    def client(_callee: str, _address: str):
        raise AssertionError("connected")

    with pytest.raises(SystemExit) as raised:
        cli.main(arguments, ENVIRONMENT, client, cli.Console(io.StringIO(), io.StringIO()))
    assert raised.value.code == 2
    assert "usage: statements" in capsys.readouterr().err


async def test_watching(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Round after round over one channel, through an outage, until told to stop: status 0."""
    handlers: dict[int, Any] = {}
    # Only the main thread may set handlers, and that one runs the ledger here.
    monkeypatch.setattr(signal, "signal", handlers.setdefault)
    await bench.opened()
    watching = asyncio.create_task(bench.run("-o", "json", "--watch", "0.05"))
    for available in (True, False, True):
        bench.policy.available = available
        printed = bench.out if available else bench.err
        rounds = printed.getvalue().count("\n") + 2
        while printed.getvalue().count("\n") < rounds:  # noqa: ASYNC110 - a thread prints
            await asyncio.sleep(0.02)
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert await watching == cli.EXIT_OK
    assert bench.clients == 1
    assert all(json.loads(line)["verified"] for line in bench.out.getvalue().splitlines())
