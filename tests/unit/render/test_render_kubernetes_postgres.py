"""PostgreSQL in a cluster: settings, access rules and Jobs, as rendered."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from paymesh.mesh import Mesh, load_mesh, repository_root
from paymesh.render.kubernetes import postgres as rendered
from paymesh.runtime import postgres_settings

ROOT = repository_root()


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """deploy/mesh.yaml of this checkout."""
    return load_mesh(ROOT, port_offset=0)


def _server(kind: str) -> dict[str, Any]:
    text = (ROOT / rendered.COMPONENT / "manifests/server.yaml").read_text("utf-8")
    return next(item for item in yaml.safe_load_all(text) if item["kind"] == kind)


def _jobs(mesh: Mesh) -> list[dict[str, Any]]:
    migrations = [rendered.migration(mesh, w) for w in mesh.services() if w.database]
    return [rendered.roles(mesh), *migrations]


def _secret_names(pod: dict[str, Any]) -> set[str]:
    return {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}


def _rules(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_pairs_of_role_and_database_are_those_of_one_machine(mesh: Mesh) -> None:
    """A role enters its own database, and SPIRE's is not there."""
    databases = postgres_settings.service_databases(mesh)
    local = _rules(postgres_settings.host_based_access(databases))
    cluster = _rules(rendered.host_based_access(mesh))
    roles = {role for name in databases for role in postgres_settings.roles_of(name)}
    assert [(r[1], r[2]) for r in local if r[2] in roles] == [
        (r[1], r[2]) for r in cluster if r[2] in roles
    ]
    assert postgres_settings.SPIRE_DATABASE not in {r[1] for r in cluster}


def test_over_tcp_only_tls_with_a_password(mesh: Mesh) -> None:
    """No rule that takes plain text, and none that takes TLS without SCRAM."""
    *rules, last_local, last = _rules(rendered.host_based_access(mesh))
    assert last == ["host", "all", "all", "all", "reject"]
    assert last_local == ["local", "all", "all", "reject"]
    assert {r[0] for r in rules} == {"local", "hostssl"}
    assert all(r[3:] == ["all", "scram-sha-256"] for r in rules if r[0] == "hostssl")
    assert [r for r in rules if r[0] == "local"] == [["local", "all", "postgres", "peer"]]
    assert not [r for r in rules if r[0] == "hostssl" and "all" in r[1:3]]


def test_server_speaks_tls_1_3_and_has_room_for_every_role(mesh: Mesh) -> None:
    """All roles at their limits leave a connection for the administrator."""
    text = rendered.configuration(mesh)
    assert "ssl = on" in text
    assert "ssl_min_protocol_version = 'TLSv1.3'" in text
    found = re.search(r"^max_connections = (\d+)$", text, re.MULTILINE)
    assert found
    databases = postgres_settings.service_databases(mesh)
    assert int(found[1]) > len(databases) * postgres_settings.CLUSTER_CONNECTION_LIMIT


def test_what_stands_once_is_the_same_on_one_machine(mesh: Mesh) -> None:
    """Durability and what may be logged do not differ between environments."""
    assert rendered.configuration(mesh).endswith(postgres_settings.COMMON)
    assert "fsync = on" in postgres_settings.COMMON
    assert "log_parameter_max_length = 0" in postgres_settings.COMMON


def test_limit_of_a_role_is_told() -> None:
    """More pods than one machine has processes need more connections for each role."""
    passwords = {"ledger": "a", "ledger_owner": "b"}
    default = postgres_settings.roles_sql(["ledger"], passwords)
    wide = postgres_settings.roles_sql(["ledger"], passwords, connection_limit=48)
    assert default.count("CONNECTION LIMIT 20 ") == 2
    assert wide.count("CONNECTION LIMIT 48 ") == 2


def test_one_migration_for_each_database_as_its_owner(mesh: Mesh) -> None:
    """A migration has the one Secret of its own, under a name that Kubernetes allows."""
    for workload, job in zip(
        [w for w in mesh.services() if w.database], _jobs(mesh)[1:], strict=True
    ):
        pod = job["spec"]["template"]["spec"]
        assert _secret_names(pod) == {f"migrate-{workload.name}"}
        assert re.fullmatch(r"[a-z0-9-]+", job["metadata"]["name"])
        assert pod["containers"][0]["args"][:2] == ["--service", workload.name]


def test_jobs_are_restricted_and_end(mesh: Mesh) -> None:
    """No privilege, no token, no endless retry, nothing left after it is done."""
    for job in _jobs(mesh):
        spec, pod = job["spec"], job["spec"]["template"]["spec"]
        assert 0 < spec["activeDeadlineSeconds"] <= 600
        assert spec["ttlSecondsAfterFinished"] == 600
        assert pod["restartPolicy"] == "OnFailure"
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]


def test_passwords_are_in_files_only(mesh: Mesh) -> None:
    """No Secret becomes an environment variable or an argument."""
    for job in _jobs(mesh):
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert "envFrom" not in container
        assert not [e for e in container.get("env", []) if "valueFrom" in e]


def test_roles_are_made_over_a_verified_connection(mesh: Mesh) -> None:
    """The administrator's password goes to the server that the certificate names, or nowhere."""
    script = rendered.roles(mesh)["spec"]["template"]["spec"]["containers"][0]["command"][-1]
    asked = re.findall(r"--dbname='([^']*)'", script)
    assert asked
    for address in asked:
        assert f"host={rendered.server_name(mesh)} " in address
        assert "sslmode=verify-full" in address


def test_server_manifest_follows_the_mesh(mesh: Mesh) -> None:
    """Namespace and port are those of deploy/mesh.yaml, and nothing of it is privileged."""
    port = mesh.kubernetes.ports["postgres"]
    namespace = mesh.kubernetes.namespaces["platform"]
    service, server = _server("Service"), _server("StatefulSet")
    assert {service["metadata"]["namespace"], server["metadata"]["namespace"]} == {namespace}
    assert service["spec"]["ports"][0]["port"] == port
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == port
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert server["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_a_server_elsewhere_is_closed_until_it_is_named(mesh: Mesh) -> None:
    """Without an overlay's patches nothing can be reached: no address, no range."""
    policies = rendered.ways_out(mesh)
    assert len(policies) == 2
    for policy in policies:
        (rule,) = policy["spec"]["egress"]
        assert rule["to"] == [{"ipBlock": {"cidr": rendered.NOWHERE}}]
        assert rule["ports"] == [{"protocol": "TCP", "port": mesh.kubernetes.ports["postgres"]}]
        assert policy["spec"]["podSelector"]
    text = (ROOT / rendered.EXTERNAL / "manifests/service.yaml").read_text("utf-8")
    assert yaml.safe_load(text)["spec"]["externalName"].endswith(".invalid")
