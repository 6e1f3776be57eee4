"""The fuzzer against the running mesh: it finds nothing, and what it is to find it would find."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.world import World
from paymesh.attack.fuzz.run import Fuzzer, fuzzing
from paymesh.attack.fuzz.sequence import read
from paymesh.runtime import control

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root reaches every workload's socket and log"
)

_SEED = 62
_SECONDS = 7.0
_ONE_BATCH_SECONDS = 0.001


@pytest.fixture(name="fuzzer")
def _fuzzer(world: World, tmp_path: Path) -> Iterator[Fuzzer]:
    with fuzzing(world.paths, world.mesh, tmp_path) as made:
        yield made


def test_nothing_gets_through_and_nothing_fails(fuzzer: Fuzzer, capsys) -> None:
    """Sequences of a fixed seed at every door: no call that is not granted, nothing dead, nothing
    left hanging, nothing without a decision on record, and permitted calls go on working.
    """
    report = fuzzer.run(_SEED, _SECONDS)
    with capsys.disabled():
        print(f"\n{report.sequences} sequences, {report.responses} responses: {report.endings}")  # noqa: T201
    assert report.faults == []
    assert set(report.doors) == set(fuzzer.doors.by_name)
    assert report.sequences >= 192
    assert report.responses > report.sequences / 8, "hardly anything got as far as an answer"


def test_a_call_that_gets_through_is_found_narrowed_and_replayed(fuzzer: Fuzzer) -> None:
    """A permitted call that is declared to be forbidden is reported as carried out; what is left
    of the batch is one sequence with the frames that it takes, whose file does it again.
    """
    door = fuzzer.doors.by_name["ledger as statements"]
    permitted = tuple(call for call in door.menu.allowed if call.rpc.endswith("ListBalances"))
    planted = dataclasses.replace(door.menu, forbidden=permitted, allowed=())
    fuzzer.doors.by_name = {door.name: dataclasses.replace(door, menu=planted)}
    fuzzer.batch = 48
    report = fuzzer.run(_SEED, _ONE_BATCH_SECONDS)
    (fault,) = report.faults
    assert {finding.kind for finding in fault.findings} == {"executed"}
    assert fault.again
    (sequence,) = fault.sequences
    assert 3 <= len(sequence.frames) <= 8, "the preface, a HEADERS, a DATA and little else"
    assert fault.file is not None
    assert read(fault.file) == [sequence]
    found = fuzzer.replay(read(fault.file))
    assert found
    assert {finding.kind for finding in found} == {"executed"}
    assert "LedgerService/ListBalances from statements" in found[0].what


def test_a_process_that_dies_is_found(fuzzer: Fuzzer, world: World) -> None:
    """A decision point that is killed is reported, and the mesh is well again after."""
    assert fuzzer.judge.verdict([]) == []
    control.kill(world.paths, "ledger-pdp", signal.SIGKILL)

    def died() -> list[str]:
        return [one.what for one in fuzzer.judge.verdict([]) if one.kind == "died"]

    assert World.until(died, "nobody notices") == ["ledger-pdp"]
    World.until(lambda: fuzzer.judge.verdict([]) == [], "the mesh does not recover")


def test_the_command_says_what_it_sent(world: World, tmp_path: Path) -> None:
    """`paymesh attack-fuzz -o json` is one document with the seed, and exits with 0."""
    environment = {
        **os.environ,
        "PAYMESH_HOME": str(world.paths.home),
        "PAYMESH_PORT_OFFSET": str(world.mesh.port_offset),
    }
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from paymesh.cli.main import app; app()", "attack-fuzz"),
            *("--seconds", "0.5", "--seed", "5", "--save", str(tmp_path), "-o", "json"),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["seed"] == 5
    assert report["sequences"] > 0
    assert report["faults"] == []
