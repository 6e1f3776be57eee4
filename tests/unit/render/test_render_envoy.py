"""What the renderer makes of grants that the committed files do not have."""

from __future__ import annotations

import dataclasses

import pytest

from paymesh.grants import Grant, Grants, load_grants
from paymesh.mesh import load_mesh, read_yaml, repository_root
from paymesh.render.blocks import Plan
from paymesh.render.envoy import envoy_config
from paymesh.render.replies import POLICY_ENGINE_UNAVAILABLE
from paymesh.render.rpcs import rpcs_of
from paymesh.render.tls import inbound

ROOT = repository_root()
MESH = load_mesh(ROOT, port_offset=0)
GRANTS = load_grants(ROOT)
RPCS = rpcs_of((ROOT / "policies" / "descriptors.binpb").read_bytes())


def _listeners(grants: Grants, workload: str) -> list[str]:
    config = envoy_config(MESH, grants, RPCS, MESH.workloads[workload])
    return [listener["name"] for listener in config["static_resources"]["listeners"]]


def test_service_without_callers_has_no_inbound_listener() -> None:
    """An empty SAN list would let everybody in: without a grant there is no door."""
    grants = Grants((), {})
    assert _listeners(grants, "ledger") == ["outbound"]
    with pytest.raises(ValueError, match="at least one peer"):
        inbound(Plan(MESH, grants, RPCS, MESH.workloads["ledger"]), [])


def test_new_grant_makes_an_edge_on_both_sides() -> None:
    """One line in the grants opens the callee's list and gives the caller a cluster."""
    line = Grant("new", "bank-link", "/paymesh.ledger.v1.LedgerService/GetBalance", (), "why")
    grants = dataclasses.replace(GRANTS, grants=(*GRANTS.grants, line))
    before = envoy_config(MESH, GRANTS, RPCS, MESH.workloads["ledger"])
    after = envoy_config(MESH, grants, RPCS, MESH.workloads["ledger"])
    assert MESH.spiffe_id("bank-link") not in str(before)
    assert MESH.spiffe_id("bank-link") in str(after)
    caller = envoy_config(MESH, grants, RPCS, MESH.workloads["bank-link"])
    assert "ledger" in [cluster["name"] for cluster in caller["static_resources"]["clusters"]]


def test_job_has_no_envoy() -> None:
    """A workload without a sidecar is refused by name."""
    with pytest.raises(ValueError, match="statements is a job"):
        envoy_config(MESH, GRANTS, RPCS, MESH.workloads["statements"])


def test_reply_fits_into_a_header() -> None:
    """The details of Envoy's own answers are one line of base64."""
    details = POLICY_ENGINE_UNAVAILABLE.details("paymesh.internal")
    assert details.isascii()
    assert "\n" not in details
    assert len(details) < 1024


def test_no_field_of_one_call_is_kept_for_the_next() -> None:
    """Towards the app, whose connection all callers share, header compression has no memory."""
    for name in ("payments", "ledger", "bank-link"):
        for path in (f"envoy/{name}.yaml", f"envoy/kubernetes/{name}.yaml"):
            config = read_yaml(ROOT / path)
            clusters = {one["name"]: one for one in config["static_resources"]["clusters"]}
            (options,) = clusters["app"]["typed_extension_protocol_options"].values()
            http2 = options["explicit_http_config"]["http2_protocol_options"]
            assert http2["hpack_table_size"] == 0, path
