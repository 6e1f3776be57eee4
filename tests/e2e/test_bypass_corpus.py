"""Every class of the bypass corpus against the running mesh, and proof that its judge can fail."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from e2e.test_policy_edits import edited
from e2e.world import World
from paymesh.attack.corpus import run
from paymesh.attack.corpus.calls import Maker
from paymesh.attack.corpus.classes import CLASSES, Class
from paymesh.cli import main

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can read SPIRE's key and act as every workload"
)

_GRANTS = "policies/paymesh/grants/data.yaml"
_LINE = "  - id: statements-list-entries\n"
_LOOSENED = """\
  - id: statements-post-transfer
    caller: statements
    rpc: /paymesh.ledger.v1.LedgerService/PostTransfer
    conditions: []
    why: A mistake.
"""


@pytest.fixture(scope="module")
def corpus(world: World) -> Iterator[run.Run]:
    """A run against the mesh of all tests; what its logs say last is judged at its end."""
    with run.running(world.paths, world.mesh) as running:
        yield running
        assert running.late() == []


@pytest.mark.parametrize("number", CLASSES)
def test_nothing_of_a_class_gets_through(corpus: run.Run, number: int) -> None:
    """No service carries out what a variant is not entitled to, each control is carried out,
    nothing crashes, every refusal has its shape and every decision its record.
    """
    result = corpus.result(CLASSES[number])
    assert result.faults == (), "\n".join(str(fault) for fault in result.faults)
    assert result.variants >= 20
    assert result.controls >= 1


def test_what_gets_through_is_named(corpus: run.Run) -> None:
    """A call that may be made, taken for one that may not, is reported under its variant's id."""

    def mistaken(maker: Maker) -> None:
        CLASSES[9].add(maker)
        controls = [variant for variant in maker.variants if variant.entitled]
        maker.variants[:] = [dataclasses.replace(v, entitled=False) for v in controls]

    result = corpus.result(Class(9, "controls taken for variants", mistaken))
    assert {fault.variant for fault in result.faults} == {"09/control@inside", "09/control@public"}
    assert all("got through" in fault.what for fault in result.faults)


def test_a_loosened_grant_lets_variants_through(corpus: run.Run, world: World) -> None:
    """With one grant too many in force, the same variants are carried out and each is named."""

    def may_post() -> bool:
        reply = world.straight("statements", "ledger", "ledger/PostTransfer")
        return reply.reason != "RPC_NOT_GRANTED"

    inside = {v.id for v in CLASSES[9].variants(corpus.ground) if v.id.endswith("@inside")}
    with edited(_GRANTS, _LINE, _LOOSENED + _LINE):
        World.until(may_post, "the edit is not in force")
        corpus.overlook()
        result = corpus.result(CLASSES[9])
    World.until(lambda: not may_post(), "the edit is still in force")
    corpus.overlook()
    named = {fault.variant for fault in result.faults}
    assert named <= inside - {"09/control@inside"}
    assert len(named) >= 20
    assert all("got through: ledger began" in fault.what for fault in result.faults)


def test_the_command_says_what_held(corpus: run.Run) -> None:
    """One line for each class that was asked for, and exit status 0 when it held."""
    done = CliRunner().invoke(main._app, ["attack-corpus", "--class", "19"])
    assert done.exit_code == 0, done.stdout
    assert "✔ 19 spellings of the SPIFFE ID" in done.stdout
    assert "nothing ran that was not allowed to" in done.stdout
    assert CliRunner().invoke(main._app, ["attack-corpus", "--class", "25"]).exit_code != 0
    corpus.overlook()
