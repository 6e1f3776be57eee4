"""The inventory that is committed says what it says, and a wrong one says what is wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from paymesh.attack.arms import build
from paymesh.attack.inventory import Inventory
from paymesh.attack.inventory.declared import FILE
from paymesh.attack.model import positions
from paymesh.errors import ConfigError
from paymesh.mesh import Mesh, Workload, load_mesh

_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """As committed."""
    return load_mesh(port_offset=0)


@pytest.fixture(scope="module")
def inventory(mesh: Mesh) -> Inventory:
    """As committed."""
    return Inventory.load(_ROOT, mesh)


def test_who_can_connect_is_what_modes_and_owners_come_to(inventory: Inventory, mesh: Mesh) -> None:
    """`open_to`, which people read, names exactly the positions that the kernel lets in."""
    reach = inventory.reach
    for listener in inventory.declared.listeners:
        found = {p for p in positions(mesh) if reach.connects(p, listener)}
        assert found == reach.named(listener.open_to), listener


def test_nobody_reads_what_opens_something_but_its_owner(inventory: Inventory, mesh: Mesh) -> None:
    """A file that holds a credential or a key is read by the workload that it is for, if any."""
    for file in inventory.declared.files:
        if file.holds:
            readers = {p for p in positions(mesh) if inventory.reach.reads(p, file)}
            assert readers == {file.owner} & set(mesh.workloads), file


def test_some_files_are_read_by_others(inventory: Inventory, mesh: Mesh) -> None:
    """What the test above relies on can say yes: strangers read the public certificate's CA,
    but for those on another machine.
    """
    (ca,) = (file for file in inventory.declared.files if file.path == "edge/ca.pem")
    assert {p for p in positions(mesh) if not inventory.reach.reads(p, ca)} == {"outside"}
    (bundle,) = (f for f in inventory.declared.files if f.path == "run/spire-agent/bundle.pem")
    readers = {p for p in positions(mesh) if inventory.reach.reads(p, bundle)}
    assert readers == set(mesh.workloads)


def test_a_new_service_is_declared_by_being_there(inventory: Inventory, mesh: Mesh) -> None:
    """Its ports, sockets, directory and secrets are those of the services that are there."""
    payments = mesh.workloads["payments"]
    fees = dataclasses.replace(
        payments, name="fees", uid_offset=6, port=18601, pdp_port=18611, database="fees"
    )
    larger = dataclasses.replace(mesh, workloads={**mesh.workloads, "fees": fees})
    found = Inventory.load(_ROOT, larger)

    def of(name: str, inventory: Inventory) -> list[tuple[str, ...]]:
        ports = {"fees": ("18601", "18611"), "payments": ("18501", "18511")}[name]
        return sorted(
            (one.process, one.kind, one.address.replace(port, number), one.owner)
            for one in inventory.declared.listeners
            for number, port in enumerate(ports)
            if name in one.process and (one.kind == "unix" or one.address.endswith(port))
            for number in [str(number)]
        )

    renamed = [
        tuple(text.replace("payments", "fees") for text in row) for row in of("payments", inventory)
    ]
    assert of("fees", found) == renamed
    added = {file.path for file in found.declared.files} - {
        file.path for file in inventory.declared.files
    }
    assert added == {
        "run/fees/dsn",
        "run/fees/card-processor.key",
        "run/fees/pdp-token",
        "run/fees/bundle-token",
        "secrets/postgres-fees",
        "secrets/postgres-fees_owner",
        "secrets/pdp-token-fees",
        "secrets/bundle-token-fees",
    }


def test_ports_follow_the_offset() -> None:
    """They are names of deploy/mesh.yaml, so that PAYMESH_PORT_OFFSET moves them."""

    def ports(offset: int) -> list[int]:
        found = Inventory.load(_ROOT, load_mesh(port_offset=offset))
        tcp = [one for one in found.declared.listeners if one.kind == "tcp"]
        return [int(one.address.rpartition(":")[2]) - offset for one in tcp]

    assert ports(0) == ports(1500)
    assert len(ports(0)) == len(set(ports(0))) == 11


def test_an_arms_open_databases_are_declared_in_its_copy(tmp_path: Path, mesh: Mesh) -> None:
    """The flat network's ports, by name, open to everyone inside; the committed one has none."""
    build("A", _ROOT, tmp_path / "a")
    flat = load_mesh(tmp_path / "a", port_offset=100)
    found = Inventory.load(tmp_path / "a", flat)
    relayed = [one for one in found.declared.listeners if one.process == "database-relay"]
    assert {one.leads_to for one in relayed} == {
        (f"database:{w.database}",) for w in mesh.workloads.values() if w.database
    }
    for listener in relayed:
        connecting = {p for p in positions(flat) if found.reach.connects(p, listener)}
        assert connecting == found.reach.named(listener.open_to)


def test_everything_has_a_reason(inventory: Inventory) -> None:
    """Each listener says what it speaks and why it is there, each place why."""
    for listener in inventory.declared.listeners:
        assert listener.speaks.strip(), listener
        assert listener.why.strip(), listener
    for place in (*inventory.declared.directories, *inventory.declared.files):
        assert place.why.strip(), place


_LISTENER = """
  - process: supervisor
    unix: control.sock
    owner: root
    group: root
    mode: "0600"
    open_to: []
    leads_to: []
    speaks: x
    why: x
"""
_WHOLE = f"""
listeners: {_LISTENER}
directories:
  - {{path: ., owner: root, group: root, mode: "0755", why: x}}
files: []
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("unix: control.sock", "unix: x/control.sock", "the directory x is not declared"),
        ("owner: root\n", "owner: nobody\n", "there is no owner 'nobody'"),
        ("group: root\n", "group: nobody\n", "there is no group 'nobody'"),
        ("unix: control.sock", "pipe: control.sock", "exactly one of tcp, udp, unix, abstract"),
        ("unix: control.sock", "tcp: local.address", "local.address is no port"),
        ("unix: control.sock", "tcp: workloads.ledger.uid_offset", "is no port"),
        ("unix: control.sock", "tcp: workloads.statements.port", "is no port"),
        ('mode: "0600"', 'mode: "rw"', "invalid literal"),
        ("    why: x\n", "", "'why'"),
        ("  - process", "  - each: fools\n    process", "'fools'"),
        ("process: supervisor", 'each: services\n    process: "{database}"', "'database'"),
        ("files: []", "", "'files'"),
        ("files: []", "files: [", "cannot be read"),
    ],
)
def test_what_is_wrong_with_it_is_said(
    tmp_path: Path, mesh: Mesh, old: str, new: str, said: str
) -> None:
    """In one sentence that names the file and the entry or the word."""
    _write(tmp_path, _WHOLE)
    assert len(Inventory.load(tmp_path, mesh).declared.listeners) == 1
    assert old in _WHOLE
    _write(tmp_path, _WHOLE.replace(old, new, 1))
    with pytest.raises(ConfigError, match=r"inventory\.yaml.*" + said):
        Inventory.load(tmp_path, mesh)


def test_an_unknown_word_for_who_may_connect_is_refused(inventory: Inventory) -> None:
    """`open_to` has words of its own and names of positions."""
    with pytest.raises(ValueError, match="'friends' is no position"):
        inventory.reach.named(["friends"])


def test_groups_open_and_shut(inventory: Inventory, mesh: Mesh) -> None:
    """A database's client loses the socket with its group, and a directory shuts what is in it."""
    (socket,) = (one for one in inventory.declared.listeners if one.process == "postgres")
    assert inventory.reach.connects("ledger", socket)
    assert not inventory.reach.connects("ledger", dataclasses.replace(socket, mode=0o700))
    assert not inventory.reach.connects("statements", socket)
    assert not inventory.reach.connects("statements", dataclasses.replace(socket, mode=0o777))
    without = _with(mesh, "ledger", database=None)
    assert not Inventory(inventory.declared, without).reach.connects("ledger", socket)


def _with(mesh: Mesh, name: str, **changed: object) -> Mesh:
    found: Mapping[str, Workload] = mesh.workloads
    one = dataclasses.replace(found[name], **changed)  # type: ignore[arg-type]
    return dataclasses.replace(mesh, workloads={**found, name: one})


def _write(root: Path, text: str) -> None:
    path = root / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
