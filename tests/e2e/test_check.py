"""`paymesh check` names what is broken: each test breaks one thing, sees it named, and mends it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.test_policy_edits import edited
from e2e.world import World
from paymesh import binaries, checks
from paymesh.paths import Paths
from paymesh.policy import bundle
from paymesh.runtime import control


def _problems(world: World, section: str, paths: Paths | None = None) -> dict[str, str]:
    """Name → problem of a section's findings; each says how to mend it."""
    context = checks.Context(paths or world.paths, world.mesh, world.grants)
    found = {}
    for finding in checks.SECTIONS[section](context):
        if finding.level is checks.Level.PROBLEM:
            assert finding.problem
            assert finding.mend
            found[finding.name] = finding.problem
    return found


@contextlib.contextmanager
def _mode(path: Path, mode: int) -> Iterator[None]:
    before = path.stat().st_mode & 0o7777
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def _owner_dsn(world: World, database: str) -> str:
    password = (world.paths.secrets / f"postgres-{database}_owner").read_text().strip()
    host = world.paths.workload("postgres")
    return f"host={host} dbname={database} user={database}_owner password={password}"


@contextlib.contextmanager
def _sql(world: World, break_it: str, mend_it: str) -> Iterator[None]:
    with psycopg.connect(_owner_dsn(world, "ledger"), autocommit=True) as connection:
        connection.execute(break_it)
        try:
            yield
        finally:
            connection.execute(mend_it)


def _spire(world: World, *arguments: str, data: str = "") -> str:
    socket = world.paths.workload("spire-server") / "private.sock"
    done = subprocess.run(
        [
            str(binaries.built(world.paths, "spire-server")),
            *arguments,
            *("-socketPath", str(socket)),
        ],
        input=data,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout


@contextlib.contextmanager
def _without_entry(world: World, workload: str) -> Iterator[None]:
    spiffe_id = world.mesh.spiffe_id(workload)
    shown = json.loads(_spire(world, "entry", "show", "-output", "json", "-spiffeID", spiffe_id))
    (entry,) = shown["entries"]
    _spire(world, "entry", "delete", "-entryID", entry["id"])
    try:
        yield
    finally:
        text = {
            "spiffe_id": spiffe_id,
            "parent_id": f"spiffe://{entry['parent_id']['trust_domain']}{entry['parent_id']['path']}",
            **{key: entry[key] for key in ("selectors", "dns_names")},
            "x509_svid_ttl": int(entry["x509_svid_ttl"]),
            "jwt_svid_ttl": int(entry["jwt_svid_ttl"]),
        }
        _spire(world, "entry", "create", "-data", "-", data=json.dumps({"entries": [text]}))


@contextlib.contextmanager
def _changed_configuration(world: World, workload: str) -> Iterator[None]:
    path = world.paths.workload(workload) / "envoy.yaml"
    before = path.read_text("utf-8")
    path.chmod(0o600)
    path.write_text(before.replace("failure_mode_allow: false", "failure_mode_allow: true"))
    assert path.read_text("utf-8") != before
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")
        path.chmod(0o444)


@contextlib.contextmanager
def _unsigned_bundle(world: World) -> Iterator[None]:
    path = world.paths.bundles / bundle.FILE_NAME
    before = path.read_bytes()
    files = {"paymesh/a.rego": b"package paymesh.a\n"}
    stranger = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(bundle.build(files, "1999999999999-0123456789ab", stranger).data)
    try:
        yield
    finally:
        path.write_bytes(before)


@dataclasses.dataclass(frozen=True)
class Break:
    """How something is broken, and the finding that has to name it."""

    how: Callable[[World], contextlib.AbstractContextManager[object]]
    section: str
    named: str


_GRANTS = "policies/paymesh/grants/data.yaml"
_BREAKS = {
    "a process is stopped": Break(
        lambda w: control.stopped(w.paths, "bank-link-app"), "processes", "bank-link-app is ready"
    ),
    "a process hangs": Break(
        lambda w: control.paused(w.paths, "bank-link-envoy"),
        "envoy",
        "bank-link's Envoy is live",
    ),
    "SPIRE's server is stopped": Break(
        lambda w: control.stopped(w.paths, "spire-server"), "spire", "spire-server is healthy"
    ),
    "SPIRE's agent is stopped": Break(
        lambda w: control.stopped(w.paths, "spire-agent"), "spire", "spire-agent is healthy"
    ),
    "a registration entry is gone": Break(
        lambda w: _without_entry(w, "statements"),
        "spire",
        "registration entries are those of spire/entries.json",
    ),
    "the Workload API does not answer": Break(
        lambda w: control.stopped(w.paths, "spire-agent"),
        "identities",
        "ledger gets its own SVID",
    ),
    "an Envoy runs with another configuration": Break(
        lambda w: _changed_configuration(w, "ledger"),
        "envoy",
        "ledger's Envoy has the committed configuration",
    ),
    "a decision point is stopped": Break(
        lambda w: control.stopped(w.paths, "ledger-pdp"),
        "policy",
        "ledger's decision point answers",
    ),
    "a policy does not compile": Break(
        lambda _: edited(_GRANTS, "grants:\n", "grants: [\n"),
        "policy",
        "the policies of this checkout are published",
    ),
    "a bundle is served that nobody signed": Break(
        _unsigned_bundle,
        "policy",
        "ledger's decision point has the published revision",
    ),
    "a workload's directory is open": Break(
        lambda w: _mode(w.paths.workload("payments"), 0o755),
        "sockets",
        "payments's directory is closed to everybody else",
    ),
    "a key can be read by others": Break(
        lambda w: _mode(w.paths.issuer / "key.pem", 0o644),
        "sockets",
        "keys and passwords are readable by their owner only",
    ),
    "an app has no socket": Break(
        lambda w: control.stopped(w.paths, "payments-app"), "sockets", "payments has its sockets"
    ),
    "the database is stopped": Break(
        lambda w: control.stopped(w.paths, "postgres"), "database", "ledger can reach its database"
    ),
    "the ledger's role may change entries": Break(
        lambda w: _sql(
            w, "GRANT UPDATE ON entries TO ledger", "REVOKE UPDATE ON entries FROM ledger"
        ),
        "database",
        "ledger's role cannot rewrite what it has written",
    ),
    "the way in is blocked": Break(
        lambda w: control.stopped(w.paths, "payments-app"),
        "end-to-end",
        "an end user's call over gRPC is answered",
    ),
}


@pytest.mark.parametrize("what", sorted(_BREAKS))
def test_what_is_broken_is_named(world: World, what: str) -> None:
    """What is broken is named, with what to do; once it is mended, it is named no more."""
    broken = _BREAKS[what]
    with broken.how(world):
        problems = world.until(lambda: _named(world, broken), "it is not named")
        assert broken.named in problems
    control.wait_ready(world.paths)
    world.until(lambda: not _named(world, broken), "it is still named")


def _named(world: World, broken: Break) -> dict[str, str]:
    problems = _problems(world, broken.section)
    return {name: text for name, text in problems.items() if name.startswith(broken.named)}


def test_a_program_that_is_not_built_is_named(world: World, tmp_path: Path) -> None:
    """With an empty cache each program that has to be built is named, with the command."""
    empty = dataclasses.replace(world.paths, cache=tmp_path)
    problems = _problems(world, "binaries", empty)
    assert set(problems) == {f"{name} is built" for name in (*binaries.SPIRE, binaries.PDP)}


def test_a_mesh_that_is_down_is_named(world: World, tmp_path: Path) -> None:
    """Where no supervisor runs, that is what is said, and every section still answers."""
    nowhere = dataclasses.replace(world.paths, home=tmp_path)
    context = checks.Context(nowhere, world.mesh, world.grants)
    found = list(checks.run(context))
    assert {finding.section for finding in found} == set(checks.SECTIONS)
    down = [finding for finding in found if finding.name == "the mesh is up"]
    assert [finding.level for finding in down] == [checks.Level.PROBLEM]
