"""Database roles, tried from each service's own pod with its own connection string."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from paymesh.checks import database
from paymesh.checks.kube.model import DEPLOY, Look, app_of
from paymesh.checks.model import Finding, Section
from paymesh.kube import podexec, stuck
from paymesh.kube.errors import ClusterError

_section = Section("database")
_FILE = "/etc/paymesh/secrets/dsn"

# Argument: JSON. It never prints a connection string: that is read by `meshkit.dsn` first, which
# quotes nothing of it. What libpq says of a good one names host, role and database.
PROGRAM = """
import json, pathlib, sys
import psycopg
from psycopg.conninfo import make_conninfo
from meshkit import dsn
asked = json.loads(sys.argv[1])
text = pathlib.Path(asked["file"]).read_text().strip()
found = {"error": None, "forbidden": [], "entered": [], "tls": None}
try:
    dsn.settings(text)
except dsn.DsnError as e:
    found["error"] = str(e)
    print(json.dumps(found))
    sys.exit(0)
connect = lambda **more: psycopg.connect(
    make_conninfo(text, connect_timeout=5, **more), autocommit=True)
try:
    with connect() as c:
        found["tls"] = bool(c.pgconn.ssl_in_use)
        for privileges, tables in asked["privileges"]:
            rows = c.execute(asked["sql"], {"privileges": privileges, "tables": tables})
            found["forbidden"] += [row[0] for row in rows]
except psycopg.Error as e:
    found["error"] = (str(e).strip().splitlines() or [type(e).__name__])[0]
for name in asked["others"]:
    try:
        connect(dbname=name).close()
        found["entered"].append(name)
    except psycopg.Error:
        pass
print(json.dumps(found))
"""


def check(look: Look) -> Iterator[Finding]:
    """Yields findings for each service with a database."""
    owned = [workload for workload in look.mesh.services() if workload.database]
    for workload in owned:
        ready = [pod for pod in look.workload_pods(workload) if stuck.is_ready(pod)]
        if not ready:
            title = f"{workload.name} can reach its database"
            yield _section.problem(title, "no pod of it is ready", "see section pods above")
            continue
        others = [w.database for w in owned if w.database != workload.database]
        asked = {
            "file": _FILE,
            "sql": database.FORBIDDEN,
            "privileges": database.unwanted(workload.name),
            "others": others,
        }
        try:
            text = podexec.python(look.cluster, app_of(ready[0]), PROGRAM, json.dumps(asked))
            yield from _findings(workload.name, json.loads(text))
        except (ClusterError, ValueError) as error:
            title = f"{workload.name} can reach its database"
            yield _section.problem(title, str(error), DEPLOY)


def _findings(name: str, found: dict[str, Any]) -> Iterator[Finding]:
    mend = "see `kubectl --namespace paymesh-platform logs postgres-0`"
    yield _section.expect(f"{name} can reach its database", found["error"], mend)
    if found["error"] is not None:
        return
    yield _section.expect(
        f"{name}'s connection is encrypted", None if found["tls"] else "it is not", DEPLOY
    )
    forbidden = sorted(set(found["forbidden"]))
    yield _section.expect(
        f"{name}'s role cannot rewrite what it has written",
        f"it has {', '.join(forbidden)}" if forbidden else None,
        f"revoke it: compare with services/{name.replace('-', '_')}/migrations",
    )
    yield _section.expect(
        f"{name}'s role cannot enter another service's database",
        f"it can enter {', '.join(found['entered'])}" if found["entered"] else None,
        f"{DEPLOY}: it sets pg_hba.conf and the grants",
    )
