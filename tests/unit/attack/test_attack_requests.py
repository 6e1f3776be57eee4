"""deploy/attack/requests.yaml: what the probes ask, about what was planted."""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path

import protovalidate
import pytest
from google.protobuf import message_factory

from meshkit.cards import contains_card_number
from paymesh.attack.plants import REQUESTS, Plants, Requests
from paymesh.errors import ConfigError
from paymesh.mesh import repository_root
from paymesh.policy import coverage

ROOT = repository_root()
RPCS = coverage.rpcs(ROOT / "policies" / "descriptors.binpb")
HOLES = ("merchant", "clearing", "payment", "link", "removed_link")
IDS = {name: str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in HOLES}


@pytest.fixture(scope="module")
def requests() -> Requests:
    """Those of the checkout."""
    return Requests(ROOT)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a file to break."""
    for name in (REQUESTS, Path("policies/descriptors.binpb")):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_rpc_has_a_request(requests: Requests) -> None:
    """There is a request for each RPC of the descriptors and for none besides: a new RPC that
    nobody can try fails here.
    """
    assert sorted(requests.rpcs) == RPCS


@pytest.mark.parametrize("rpc", RPCS)
def test_a_request_breaks_no_rule_of_its_message(requests: Requests, rpc: str) -> None:
    """Each request passes what its service validates, and has nothing like a card number in it."""
    service, _, method = rpc.removeprefix("/").partition("/")
    kind = requests.catalogue.service(service).methods_by_name[method].input_type
    message = message_factory.GetMessageClass(kind)
    for number in range(50):
        for body in requests.serialised(rpc, IDS, uuid.UUID(int=number**9).hex):
            found = protovalidate.collect_violations(message.FromString(body))
            assert [str(violation.proto) for violation in found] == []
            text = body.decode("utf-8", errors="replace")
            assert not contains_card_number(re.sub(r"[^ -~]", "|", text))


@pytest.mark.parametrize("rpc", RPCS)
def test_requests_are_fresh_for_each_probe(requests: Requests, rpc: str) -> None:
    """What has an id or a key of the client's choice has another one for each probe and in each
    of the RPC's requests, and the same one for the same probe.
    """
    first, second = (requests.serialised(rpc, IDS, nonce) for nonce in ("a" * 32, "b" * 32))
    assert first == requests.serialised(rpc, IDS, "a" * 32)
    service, _, method = rpc.removeprefix("/").partition("/")
    fields = requests.catalogue.service(service).methods_by_name[method].input_type.fields_by_name
    chosen = {"request_id", "idempotency_key"} & set(fields)
    assert (first != second) is bool(chosen)
    assert len({*first, *second}) == (len(first) + len(second) if chosen else len(first))


def test_plants_fill_the_holes(requests: Requests) -> None:
    """A request names what was planted."""
    plants = Plants(**IDS, _requests=requests)
    rpc = "/paymesh.bank_link.v1.BankLinkService/"
    assert IDS["link"].encode() in plants.request(rpc + "GetLink", "n")
    assert IDS["removed_link"].encode() in plants.request(rpc + "RemoveLink", "n")
    (transfer,) = plants.requests("/paymesh.ledger.v1.LedgerService/PostTransfer", "n")
    assert IDS["clearing"].encode() in transfer
    assert IDS["merchant"].encode() in transfer


def test_an_rpc_without_a_request_is_named(requests: Requests) -> None:
    """An RPC that nothing was written for is said, with the file to mend."""
    with pytest.raises(ConfigError, match=r"requests\.yaml has no request for /a\.B/C: add one"):
        requests.serialised("/a.B/C", IDS, "n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('payment_id: "{payment}"', 'payment_id: "{refund}"'),
        ('payment_id: "{payment}"', 'payment_id: "{payment.x}"'),
        ('payment_id: "{payment}"', "paid: 1"),
        ('payment_id: "{payment}"', "payment_id: [1]"),
        ("PaymentsService/GetPayment", "PaymentsService/FindPayment"),
        ("payments.v1.PaymentsService/GetPayment", "payments.v2.PaymentsService/GetPayment"),
        ('\n  - payment_id: "{payment}"', ' {payment_id: "{payment}"}'),
        ('\n  - payment_id: "{payment}"', " []"),
        ('\n  - payment_id: "{payment}"', "\n  - 7"),
    ],
)
def test_a_wrong_file_is_said(root: Path, old: str, new: str) -> None:
    """A hole with no name, a field or RPC that does not exist: one sentence, no traceback."""
    path = root / REQUESTS
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"requests\.yaml"):
        _all(root)


def _all(root: Path) -> None:
    requests = Requests(root)
    for rpc in requests.rpcs:
        requests.serialised(rpc, IDS, "n")
