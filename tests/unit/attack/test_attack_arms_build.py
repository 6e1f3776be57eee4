"""Each arm's copy differs from the one before only in what docs/attack-paths.md says."""

from __future__ import annotations

import difflib
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paymesh.attack.arms import build, documents, envoy, policy
from paymesh.attack.model import ARMS, Arm
from paymesh.errors import SetupError
from paymesh.grants import load_grants
from paymesh.mesh import load_mesh, read_yaml, repository_root
from paymesh.policy import coverage
from paymesh.policy.coverage import conditions

ROOT = repository_root()
MESH = load_mesh(ROOT, port_offset=0)
SERVICES = [workload.name for workload in MESH.services()]
GRANTS = "policies/paymesh/grants/data.yaml"
ARM_FILE = "deploy/arm.yaml"
INVENTORY = "deploy/attack/inventory.yaml"
AUTHZ = "policies/paymesh/authz"
PROBES = "deploy/paymesh/runtime/probes.py"
PROCESSES = "deploy/paymesh/runtime/processes.py"
CONTEXT = ("transport_socket", "typed_config", "common_tls_context", "combined_validation_context")
Difference = tuple[str, tuple[str | int, ...]]


@pytest.fixture(scope="module")
def arms() -> Iterator[dict[Arm, Path]]:
    """A copy for each arm."""
    with tempfile.TemporaryDirectory(prefix="arms-") as name:
        made = {arm: Path(name) / arm for arm in ARMS}
        for arm, target in made.items():
            build(arm, ROOT, target)
        yield made


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _changed(before: Path, after: Path) -> set[str]:
    old, new = _files(before), _files(after)
    return {name for name in old | new if old.get(name) != new.get(name)} - {ARM_FILE}


def _differences(old: Any, new: Any, at: tuple[str | int, ...] = ()) -> Iterator[Difference]:
    """What was removed, added and changed, each with where it stands."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if key not in new:
                yield "removed", (*at, key)
            elif key not in old:
                yield "added", (*at, key)
            else:
                yield from _differences(old[key], new[key], (*at, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(one, other, (*at, number))
    elif old != new:
        yield "changed", at


def _between(before: Path, after: Path, name: str) -> set[Difference]:
    return set(_differences(read_yaml(before / name), read_yaml(after / name)))


def _lines(before: Path, after: Path, name: str) -> list[tuple[str, str]]:
    """Lines that differ, in pairs."""
    old, new = ((root / name).read_text("utf-8").splitlines() for root in (before, after))
    return [(one, other) for one, other in zip(old, new, strict=True) if one != other]


def _ids(document: Any) -> list[tuple[str, str]]:
    return [(grant["caller"], grant["rpc"]) for grant in document["grants"]]


def _at(document: Any, kind: str, name: str) -> int:
    """The number of a listener or cluster of this name."""
    return [each["name"] for each in document["static_resources"][kind]].index(name)


def test_e_is_what_is_shipped(arms: dict[Arm, Path]) -> None:
    """Arm E has every file of the checkout as it is, and says which arm it is."""
    copied = _files(arms["E"])
    assert copied.pop(ARM_FILE)
    different = [name for name, content in copied.items() if (ROOT / name).read_bytes() != content]
    assert different == []
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 — the user's own
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout.decode()
    tracked = {name for name in listed.split("\0") if (ROOT / name).is_file()}
    assert tracked <= set(copied)


def test_the_copy_says_which_arm_it_is(arms: dict[Arm, Path]) -> None:
    """The arm's file names the arm, and the databases' door where it is open."""
    for arm, root in arms.items():
        doors = ["database"] if arm in {"A", "B"} else []
        assert read_yaml(root / ARM_FILE) == {"arm": arm, "network_doors": doors}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("E", "D", {GRANTS}),
        ("D", "C", {GRANTS}),
        (
            "C",
            "B",
            {
                *(f"envoy/{name}.yaml" for name in SERVICES),
                *("deploy/mesh.yaml", INVENTORY, PROCESSES),
            },
        ),
        (
            "B",
            "A",
            {
                *(f"envoy/{name}.yaml" for name in (*SERVICES, "gateway")),
                *(f"{AUTHZ}/{name}.rego" for name in ("identity", "decision")),
                PROBES,
            },
        ),
    ],
)
def test_an_arm_changes_no_other_file(
    arms: dict[Arm, Path], before: Arm, after: Arm, expected: set[str]
) -> None:
    """Between an arm and the next, these files differ and no others."""
    # The header of a file that both change names the arm.
    both = {"deploy/mesh.yaml", INVENTORY, GRANTS} - expected
    changed = _changed(arms[before], arms[after])
    for name in both & changed:
        assert _between(arms[before], arms[after], name) == set(), name
    assert changed - both == expected


def test_d_drops_conditions_and_no_grant(arms: dict[Arm, Path]) -> None:
    """Arm D grants what arm E grants, to whom E grants it, on no condition."""
    before, after = (read_yaml(arms[arm] / GRANTS) for arm in ("E", "D"))
    assert any(grant["conditions"] for grant in before["grants"])
    for grant in before["grants"]:
        grant["conditions"] = []
    assert after == before


def test_c_grants_everything_and_closes_nothing(arms: dict[Arm, Path]) -> None:
    """Arm C grants every RPC of the descriptors to every workload, and keeps the limits."""
    before, after = (read_yaml(arms[arm] / GRANTS) for arm in ("D", "C"))
    rpcs = coverage.rpcs(ROOT / "policies" / "descriptors.binpb")
    assert sorted(_ids(after)) == sorted((name, rpc) for name in MESH.workloads for rpc in rpcs)
    assert not any(grant["conditions"] for grant in after["grants"])
    assert (after["closed"], after["limits"]) == ([], before["limits"])


def test_b_names_no_callers(arms: dict[Arm, Path]) -> None:
    """Arm B takes the list of names from each service's inbound listener, and nothing else: the
    client's certificate is required and its chain verified as before.
    """
    for name in SERVICES:
        file = f"envoy/{name}.yaml"
        number = _at(read_yaml(arms["C"] / file), "listeners", "inbound")
        chain = ("static_resources", "listeners", number, "filter_chains", 0)
        sans = ("default_validation_context", "match_typed_subject_alt_names")
        assert _between(arms["C"], arms["B"], file) == {("removed", (*chain, *CONTEXT, *sans))}


def test_b_opens_the_databases(arms: dict[Arm, Path]) -> None:
    """Arm B names a port for each service's database and the process that opens it."""
    ports = {("added", ("local", "ports", f"database_{name}")) for name in _databases()}
    relay = {("added", ("platform", "database-relay"))}
    assert _between(arms["C"], arms["B"], "deploy/mesh.yaml") == ports | relay
    mesh = load_mesh(arms["B"], port_offset=0)
    used = [port for name, port in mesh.ports.items() if name.startswith("database_")]
    others = [w.port for w in mesh.workloads.values()] + [w.pdp_port for w in mesh.services()]
    assert len({*used, *MESH.ports.values(), *filter(None, others)}) == len(used) + len(
        [*MESH.ports, *filter(None, others)]
    )
    uids = [mesh.uid(name) for name in (*mesh.workloads, *mesh.platform)]
    assert len(set(uids)) == len(uids)


def test_b_declares_the_databases_ports(arms: dict[Arm, Path]) -> None:
    """Arm B's inventory has one entry more, its process list one process more."""
    before, after = (read_yaml(arms[arm] / INVENTORY) for arm in ("C", "B"))
    *listeners, declared = after.pop("listeners")
    assert (declared["each"], declared["process"]) == ("databases", "database-relay")
    assert listeners == before.pop("listeners")
    assert after == before
    old, new = ((arms[arm] / PROCESSES).read_text("utf-8").splitlines() for arm in ("C", "B"))
    added = [line[2:] for line in difflib.ndiff(old, new) if line[0] in "+-"]
    assert [line.strip() for line in added] == [
        "from paymesh.attack.relay import process as relay",
        "relay.spec(self._workspace, self.programs.python),",
    ]


def _databases() -> list[str]:
    return [workload.database for workload in MESH.services() if workload.database]


def test_a_has_no_tls_inside(arms: dict[Arm, Path]) -> None:
    """Arm A takes TLS from each service's inbound listener and from the clusters that lead to
    services, and has each Envoy say who it is; nothing else is different from arm B.
    """
    callees = set(SERVICES)
    for name in (*SERVICES, "gateway"):
        before = read_yaml(arms["B"] / f"envoy/{name}.yaml")
        clusters = before["static_resources"]["clusters"]
        expected = set()
        for number, cluster in enumerate(clusters):
            if cluster["name"] in callees:
                at = ("static_resources", "clusters", number)
                expected.add(("removed", (*at, "transport_socket")))
                if "health_checks" in cluster:
                    check = (*at, "health_checks", 0, "grpc_health_check", "initial_metadata")
                    expected.add(("added", check))
        inbound, way_out = ("inbound", "outbound") if name != "gateway" else (None, "public")
        if inbound:
            at = ("static_resources", "listeners", _at(before, "listeners", inbound))
            expected.add(("removed", (*at, "listener_filters")))
            fields = ("filter_chain_match", "transport_socket", "transport_socket_connect_timeout")
            expected |= {("removed", (*at, "filter_chains", 0, field)) for field in fields}
        number = _at(before, "listeners", way_out)
        at = ("static_resources", "listeners", number, "filter_chains", 0, "filters", 1)
        expected.add(("added", (*at, "typed_config", "route_config", "request_headers_to_add")))
        assert _between(arms["B"], arms["A"], f"envoy/{name}.yaml") == expected, name


def test_a_has_every_envoy_say_who_it_is(arms: dict[Arm, Path]) -> None:
    """What an Envoy says is its own name, whatever its caller has said."""
    for name in (*SERVICES, "gateway"):
        text = (arms["A"] / f"envoy/{name}.yaml").read_text("utf-8")
        assert text.count(policy.CLAIM_HEADER) >= 1
        listeners = read_yaml(arms["A"] / f"envoy/{name}.yaml")["static_resources"]["listeners"]
        added = [
            header
            for listener in listeners
            for chain in listener["filter_chains"]
            for each in chain["filters"][1:]
            for header in each["typed_config"]["route_config"].get("request_headers_to_add", ())
        ]
        said = {"key": policy.CLAIM_HEADER, "value": MESH.spiffe_id(name)}
        assert added == [{"header": said, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]


def test_a_believes_what_callers_say(arms: dict[Arm, Path]) -> None:
    """Arm A's policy takes the caller from the header, there and in what the service is told;
    no other line of it is different. `up` waits for no certificate.
    """
    old, header = "input.attributes.source.principal", policy.CLAIM_HEADER
    new = f'input.attributes.request.http.headers["{header}"]'
    (identity,) = _lines(arms["B"], arms["A"], f"{AUTHZ}/identity.rego")
    assert identity == (f"_principal := {old}", f"_principal := {new}")
    told = _lines(arms["B"], arms["A"], f"{AUTHZ}/decision.rego")
    assert [(one.strip(), other.strip()) for one, other in told] == [
        (f'"x-paymesh-caller": {old},', '"x-paymesh-caller": _principal,')
    ] * 2
    ((_, ready),) = _lines(arms["B"], arms["A"], PROBES)
    assert "chains is not None" in ready
    # Nowhere else is the certificate's name asked for.
    rest = "".join(path.read_text("utf-8") for path in (arms["A"] / AUTHZ).glob("*.rego"))
    decisions = rest.replace((arms["A"] / AUTHZ / "fixtures_test.rego").read_text("utf-8"), "")
    assert old not in decisions


def test_grants_of_every_arm_pass_the_coverage_check(arms: dict[Arm, Path]) -> None:
    """In every arm each RPC is granted or closed, and every grant names things that exist."""
    for root in arms.values():
        found = load_grants(root)
        rpcs = coverage.rpcs(root / "policies" / "descriptors.binpb")
        coverage.check(load_mesh(root, port_offset=0), found, rpcs, conditions(root / "policies"))


def test_anybody_may_read_a_copy(tmp_path: Path) -> None:
    """A checkout that was cloned with a closed umask is copied open, as a clone usually is, and
    nobody else may write to it.
    """
    source = tmp_path / "source"
    shutil.copytree(ROOT / "policies" / "paymesh", source / "policies" / "paymesh")
    (source / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "mesh.yaml", source / "deploy" / "mesh.yaml")
    for path in source.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    source.chmod(0o700)
    build("E", source, tmp_path / "copy")
    for path in (tmp_path / "copy", *(tmp_path / "copy").rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o755 if path.is_dir() else 0o644), path


def _make_a(root: Path) -> None:
    envoy.remove_tls(root, MESH, "A")
    policy.believe_claims(root)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (f"{AUTHZ}/identity.rego", "_principal := input", "_principal := input.parsed"),
        (f"{AUTHZ}/decision.rego", '"x-paymesh-caller": input', '"x-paymesh-caller": input.x'),
        (PROBES, "any(chains)", "all(chains)"),
        ("envoy/ledger.yaml", "name: inbound", "name: incoming"),
        ("envoy/ledger.yaml", "transport_socket:", "other_socket:"),
        ("envoy/gateway.yaml", "route_config:", "other_config:"),
    ],
)
def test_a_file_of_another_form_fails_loudly(tmp_path: Path, file: str, old: str, new: str) -> None:
    """Where the checkout no longer has what arm A takes out of it, building says so, instead of
    making an arm that is safer than it should be.
    """
    for name in ("envoy", AUTHZ):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / PROBES).parent.mkdir(parents=True)
    shutil.copy(ROOT / PROBES, tmp_path / PROBES)
    path = tmp_path / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(SetupError):
        _make_a(tmp_path)


def test_a_listener_without_names_fails_loudly(tmp_path: Path) -> None:
    """Where a listener has no list of names to take away, building arm B says so."""
    shutil.copytree(ROOT / "envoy", tmp_path / "envoy")
    envoy.admit_the_trust_domain(tmp_path, MESH, "B")
    with pytest.raises(SetupError, match="match_typed_subject_alt_names"):
        envoy.admit_the_trust_domain(tmp_path, MESH, "B")


def test_grants_of_another_form_fail_loudly(tmp_path: Path) -> None:
    """A grants file without the lists that the arms change is refused."""
    path = tmp_path / GRANTS
    path.parent.mkdir(parents=True)
    documents.write(path, "E", {"grants": [{"id": "x", "conditions": "none"}], "closed": []})
    with pytest.raises(SetupError):
        policy.drop_conditions(tmp_path, "D")
