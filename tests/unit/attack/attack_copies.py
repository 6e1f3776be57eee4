"""Copies of the files that the computed graph is made from, to be edited by tests."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from paymesh.attack.computed import computed
from paymesh.attack.model import Arm, Graph

ROOT = Path(__file__).resolve().parents[3]
# Whatever is not here is not read, or a test that needs it fails.
_FILES = (
    *("envoy/gateway.yaml", "envoy/payments.yaml", "envoy/ledger.yaml", "envoy/bank-link.yaml"),
    *("deploy/mesh.yaml", "deploy/attack/inventory.yaml", "deploy/attack/requests.yaml"),
    *("spire/entries.json", "policies/descriptors.binpb"),
)
_POLICIES = ("policies/paymesh", "policies/system")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

GRANTS = "policies/paymesh/grants/data.yaml"
INVENTORY = "deploy/attack/inventory.yaml"
MESH_FILE = "deploy/mesh.yaml"
EXT_AUTHZ = "envoy.filters.http.ext_authz"
HEADER_MUTATION = "envoy.filters.http.header_mutation"
JWT_AUTHN = "envoy.filters.http.jwt_authn"

Change = Callable[["Copy"], object]


@dataclasses.dataclass(frozen=True)
class Copy:
    """The files below `root`."""

    root: Path

    def yaml(self, name: str, change: Callable[[Any], object]) -> None:
        """Edits a YAML (or JSON) file by changing what stands in it."""
        path = self.root / name
        document = yaml.load(path.read_text("utf-8"), Loader=_LOADER)  # noqa: S506 — safe
        change(document)
        text = yaml.dump(document, Dumper=_DUMPER, sort_keys=False)
        path.write_text(json.dumps(document) if path.suffix == ".json" else text, "utf-8")

    def text(self, name: str, old: str, new: str) -> None:
        """Edits a file by replacing the one place where `old` stands."""
        path = self.root / name
        before = path.read_text("utf-8")
        assert before.count(old) == 1, f"{name} has {old!r} {before.count(old)} times"
        path.write_text(before.replace(old, new), "utf-8")

    def graph(self, arm: Arm = "E") -> Graph:
        """What is computed from it."""
        return computed(self.root, arm)


def copied(target: Path) -> Copy:
    """The files as they are shipped."""
    for name in _FILES:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    for name in _POLICIES:
        shutil.copytree(ROOT / name, target / name)
    return Copy(target)


def listener(document: Any, name: str) -> Any:
    """One of an Envoy's listeners."""
    (found,) = [one for one in document["static_resources"]["listeners"] if one["name"] == name]
    return found


def manager(document: Any, name: str) -> Any:
    """The HTTP connection manager of one of its listeners."""
    (chain,) = listener(document, name)["filter_chains"]
    return chain["filters"][-1]["typed_config"]


def routes(document: Any, name: str) -> list[Any]:
    """The routes of one of its listeners with one virtual host."""
    (host,) = manager(document, name)["route_config"]["virtual_hosts"]
    found: list[Any] = host["routes"]
    return found


def without_filter(name: str, kind: str) -> Callable[[Any], None]:
    """A change that takes a filter away from a listener."""

    def change(document: Any) -> None:
        filters = manager(document, name)["http_filters"]
        (found,) = [one for one in filters if one["name"] == kind]
        filters.remove(found)

    return change


def validation(document: Any) -> Any:
    """What an inbound listener asks of certificates, beside the trust domain's bundle."""
    (chain,) = listener(document, "inbound")["filter_chains"]
    common = chain["transport_socket"]["typed_config"]["common_tls_context"]
    return common["combined_validation_context"]["default_validation_context"]


def sans(document: Any) -> list[Any]:
    """The names that an inbound listener takes."""
    found: list[Any] = validation(document)["match_typed_subject_alt_names"]
    return found


def san(spiffe_id: str) -> dict[str, Any]:
    """One of them."""
    return {"san_type": "URI", "matcher": {"exact": spiffe_id}}


def without_sans(document: Any) -> None:
    """Any certificate of the trust domain opens the inbound listener."""
    del validation(document)["match_typed_subject_alt_names"]


def without_certificate(document: Any) -> None:
    """The inbound listener takes clients that show no certificate."""
    (chain,) = listener(document, "inbound")["filter_chains"]
    chain["transport_socket"]["typed_config"]["require_client_certificate"] = False


def grant(caller: str, rpc: str, *conditions: str) -> Change:
    """A change that adds a grant."""
    id_ = f"new-{caller}-{rpc.rpartition('/')[2]}"
    line = {"id": id_, "caller": caller, "rpc": rpc, "conditions": [*conditions], "why": "x"}
    return lambda copy: copy.yaml(GRANTS, lambda document: document["grants"].append(line))


def conditions(id_: str, *names: str) -> Change:
    """A change of a grant's conditions."""

    def change(document: Any) -> None:
        (found,) = [line for line in document["grants"] if line["id"] == id_]
        found["conditions"] = list(names)

    return lambda copy: copy.yaml(GRANTS, change)


def without_grant(id_: str) -> Change:
    """A change that takes a grant away."""

    def change(document: Any) -> None:
        document["grants"] = [line for line in document["grants"] if line["id"] != id_]

    return lambda copy: copy.yaml(GRANTS, change)


def limit(table: str, minor_units: int) -> Change:
    """A change of a limit in euros."""
    return lambda copy: copy.yaml(
        GRANTS, lambda document: document["limits"][table].update(EUR=minor_units)
    )


def mode(section: str, path: str, to: str) -> Change:
    """A change of a mode in the inventory, of a path as it is written there."""

    def change(document: Any) -> None:
        found = [line for line in document[section] if path in {line.get("path"), line.get("unix")}]
        assert len(found) == 1
        found[0]["mode"] = to

    return lambda copy: copy.yaml(INVENTORY, change)


def in_turn(*changes: Change) -> Change:
    """Several changes."""
    return lambda copy: [change(copy) for change in changes]


def in_envoy(workload: str, *changes: Callable[[Any], object]) -> Change:
    """Changes of a workload's Envoy."""
    return lambda copy: copy.yaml(
        f"envoy/{workload}.yaml", lambda document: [one(document) for one in changes]
    )
