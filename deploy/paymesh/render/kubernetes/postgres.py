"""PostgreSQL in a cluster: settings, access rules, and the Jobs that prepare it.

Over TCP, so that TLS 1.3 and SCRAM take the place of the Unix socket. SPIRE's
database is not here: its server has a volume of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from paymesh.mesh import Mesh, Workload
from paymesh.render.kubernetes import common
from paymesh.render.kubernetes.common import Object
from paymesh.runtime.postgres_settings import (
    ADMINISTRATOR,
    CLUSTER_CONNECTION_LIMIT,
    COMMON,
    roles_of,
    service_databases,
)

COMPONENT = Path("deploy/k8s/components/postgres")
# A base of its own, for the component whose server is managed elsewhere.
MIGRATIONS = COMPONENT / "migrations"
EXTERNAL = Path("deploy/k8s/components/postgres-external")
# RFC 5737: nobody's. An overlay that forgets to say where its server is stays closed.
NOWHERE = "192.0.2.1/32"

_TLS = Path("/etc/paymesh/tls")
_CONFIG = Path("/etc/paymesh/postgres")
_TRUST = "/etc/paymesh/trust"
_UID = 999
_MIGRATION_UID = 65532
_WAIT_SECONDS = 120
_ADMINISTRATION = 8


def files(mesh: Mesh, header: str) -> dict[Path, bytes]:
    """The files of both components by repository-relative path.

    Args:
        mesh: databases, namespaces and ports.
        header: comment lines that say that nobody edits these files.
    """
    return {
        COMPONENT / "config/postgresql.conf": (header + configuration(mesh)).encode(),
        COMPONENT / "config/pg_hba.conf": (header + host_based_access(mesh)).encode(),
        COMPONENT / "manifests/roles.yaml": _documents(header, roles(mesh)),
        EXTERNAL / "manifests/network-policies.yaml": _documents(header, *ways_out(mesh)),
        MIGRATIONS / "migrations.yaml": _documents(
            header,
            *(migration(mesh, workload) for workload in mesh.services() if workload.database),
        ),
    }


def configuration(mesh: Mesh) -> str:
    """postgresql.conf: the settings of one machine, but TLS 1.3 in place of the socket."""
    limit = len(service_databases(mesh)) * CLUSTER_CONNECTION_LIMIT + _ADMINISTRATION
    return f"""listen_addresses = '*'
port = {mesh.kubernetes.ports["postgres"]}
# Only this pod's own container sees it: for probes and for the administrator.
unix_socket_directories = '/var/run/postgresql'
hba_file = '{_CONFIG}/pg_hba.conf'
ssl = on
ssl_cert_file = '{_TLS}/tls.crt'
ssl_key_file = '{_TLS}/tls.key'
ssl_min_protocol_version = 'TLSv1.3'
max_connections = {limit}
{COMMON}"""


def host_based_access(mesh: Mesh) -> str:
    """pg_hba.conf: the first line that fits decides, and the last ones refuse.

    The same pairs of role and database as on one machine; over TCP by TLS only.
    """
    lines = [
        f"local all {ADMINISTRATOR} peer",
        f"hostssl postgres {ADMINISTRATOR} all scram-sha-256",
    ]
    for name in service_databases(mesh):
        lines += [f"hostssl {name} {role} all scram-sha-256" for role in roles_of(name)]
    return "\n".join([*lines, "local all all reject", "host all all all reject", ""])


def roles(mesh: Mesh) -> Object:
    """The Job that makes roles and databases, from a script that holds SCRAM verifiers."""
    address = (
        f"host={server_name(mesh)} port={mesh.kubernetes.ports['postgres']}"
        f" dbname=postgres user={ADMINISTRATOR} connect_timeout=5"
        f" sslmode=verify-full sslrootcert={_TRUST}/platform-ca.pem"
    )
    script = f"""set -eu
until pg_isready --quiet --timeout=3 --dbname='{address}'; do sleep 1; done
PGPASSWORD=$(cat /etc/paymesh/secrets/password)
export PGPASSWORD
exec psql --no-psqlrc --quiet --tuples-only --set=ON_ERROR_STOP=1 \\
  --dbname='{address}' --file=/etc/paymesh/sql/roles.sql
"""
    container = {
        "name": "roles",
        "image": "docker.io/library/postgres",
        "command": ["/bin/sh", "-c", script],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 — an emptyDir of the pod
        "volumeMounts": [
            _mount("admin", "/etc/paymesh/secrets"),
            _mount("sql", "/etc/paymesh/sql"),
            _mount("trust", _TRUST),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
    volumes = [
        _secret("admin", "postgres-admin", "password"),
        _secret("sql", "postgres-roles", "roles.sql"),
        _trust(),
        {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}},
    ]
    return _job(mesh, common.POSTGRES_ROLES, _UID, container, volumes)


def migration(mesh: Mesh, workload: Workload) -> Object:
    """The Job that applies one service's migrations as the owner of its database."""
    name = common.migration(workload.name)
    container = {
        "name": "migrate",
        "image": common.SERVICES_IMAGE,
        "command": ["python", "-m", "meshkit.migrate"],
        "args": [
            *("--service", workload.name),
            *("--dsn-file", "/etc/paymesh/secrets/dsn"),
            *("--wait-seconds", str(_WAIT_SECONDS)),
        ],
        "volumeMounts": [_mount("dsn", "/etc/paymesh/secrets"), _mount("trust", _TRUST)],
    }
    return _job(mesh, name, _MIGRATION_UID, container, [_secret("dsn", name, "dsn"), _trust()])


def ways_out(mesh: Mesh) -> list[Object]:
    """NetworkPolicies from what uses a database to a server outside these namespaces."""
    names = [workload.name for workload in mesh.services() if workload.database]
    places = {
        mesh.namespace: names,
        common.platform_namespace(mesh): [common.migration(name) for name in names],
    }
    to = [{"ipBlock": {"cidr": NOWHERE}}]
    ports = [{"protocol": "TCP", "port": mesh.kubernetes.ports["postgres"]}]
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": "external-database",
                "namespace": namespace,
                "labels": common.labels("external-database", "platform"),
            },
            "spec": {
                "podSelector": common.names_selector(pods),
                "policyTypes": ["Egress"],
                "egress": [{"to": to, "ports": ports}],
            },
        }
        for namespace, pods in places.items()
    ]


def server_name(mesh: Mesh) -> str:
    """What clients call the server, and what its certificate must name."""
    return mesh.cluster_name(common.POSTGRES, common.platform_namespace(mesh))


def _job(mesh: Mesh, name: str, uid: int, container: Object, volumes: list[Object]) -> Object:
    """A Job that may be applied, or deleted and made again, at any time."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": common.platform_namespace(mesh),
            "labels": common.labels(name, "platform"),
        },
        "spec": {
            "backoffLimit": 6,
            "activeDeadlineSeconds": 600,
            "ttlSecondsAfterFinished": 600,
            "template": {
                "metadata": {"labels": common.labels(name, "platform")},
                "spec": {
                    "restartPolicy": "OnFailure",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": common.pod_security_context(uid),
                    "containers": [{**container, **_confined()}],
                    "volumes": volumes,
                },
            },
        },
    }


def _confined() -> Object:
    return {
        "imagePullPolicy": "IfNotPresent",
        "resources": {
            "requests": {"cpu": "25m", "memory": "64Mi"},
            "limits": {"memory": "256Mi"},
        },
        "securityContext": common.SECURITY_CONTEXT,
    }


def _mount(volume: str, path: str) -> Object:
    return {"name": volume, "mountPath": path, "readOnly": True}


def _secret(volume: str, name: str, key: str) -> Object:
    """One key of a Secret, readable by the pod's group alone."""
    return {
        "name": volume,
        "secret": {
            "secretName": name,
            "defaultMode": 0o440,
            "items": [{"key": key, "path": key}],
        },
    }


def _trust() -> Object:
    """All of it: a server elsewhere has an authority of its own."""
    return {"name": "trust", "configMap": {"name": "paymesh-trust"}}


class _Dumper(yaml.SafeDumper):
    """Writes what stands twice in full, and scripts as lines."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 — PyYAML's signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _documents(header: str, *documents: Object) -> bytes:
    text = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=1000)
    return (header + text).encode()
