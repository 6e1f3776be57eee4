"""Registration entries: what is created, updated and deleted."""

from __future__ import annotations

from typing import Any

import pytest

from paymesh.mesh import Mesh
from paymesh.render.spire import entries, uid_selectors
from paymesh.runtime.spire import compare


@pytest.fixture
def wanted(mesh: Mesh) -> list[dict[str, Any]]:
    """The entries of a mesh that root started."""
    return list(entries(mesh, uid_selectors(mesh))["entries"])


def stored(wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as the server has them."""
    return [{**entry, "entry_id": f"id-{number}"} for number, entry in enumerate(wanted)]


def test_a_new_server_gets_every_entry(wanted: list[dict[str, Any]]) -> None:
    """And nothing else happens."""
    plan = compare(wanted, [])
    assert (plan.create, plan.update, plan.delete) == (wanted, [], [])


def test_a_second_start_changes_nothing(wanted: list[dict[str, Any]]) -> None:
    """Also when the server lists entries and selectors in another order."""
    found = stored(wanted)[::-1]
    plan = compare(wanted, found)
    assert (plan.create, plan.update, plan.delete) == ([], [], [])


def test_a_changed_lifetime_is_updated(wanted: list[dict[str, Any]]) -> None:
    """In place, so that no workload is without an identity meanwhile."""
    found = stored(wanted)
    found[0] = {**found[0], "x509_svid_ttl": 7}
    plan = compare(wanted, found)
    assert plan.update == [{**wanted[0], "entry_id": "id-0"}]
    assert (plan.create, plan.delete) == ([], [])


def test_what_is_not_wanted_goes(wanted: list[dict[str, Any]]) -> None:
    """An entry for other selectors or another identity would let somebody in."""
    found = stored(wanted)
    stranger = {
        **found[0],
        "entry_id": "stranger",
        "selectors": [{"type": "unix", "value": "uid:0"}],
    }
    twice = {**found[1], "entry_id": "twice"}
    plan = compare(wanted, [*found, stranger, twice])
    assert (plan.create, plan.update) == ([], [])
    assert sorted(plan.delete) == ["id-1", "stranger"]
