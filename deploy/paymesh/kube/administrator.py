"""PostgreSQL's administrator has the password that its Secret says, also when that Secret is
newer than the volume: the image sets it on an empty volume only.
"""

from __future__ import annotations

from paymesh.kube import podexec
from paymesh.kube.errors import ClusterError
from paymesh.kube.keep import Contents
from paymesh.kube.podexec import Container
from paymesh.kube.site import Site
from paymesh.runtime import postgres_settings

SECRET = "postgres-admin"  # noqa: S105 — a name
_PSQL = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname=postgres"]


def keep_password(site: Site, contents: Contents) -> None:
    """Sets it through the server's Unix socket, as a verifier, which is no password.

    Raises:
        ClusterError: the server refuses.
    """
    found = contents.get(("Secret", (site.platform, SECRET)))
    if found is None:
        return
    verifier = postgres_settings.scram_verifier(found["password"].decode("ascii").strip())
    # `\q`, because not every API server can close a stream's standard input.
    script = f"ALTER ROLE {postgres_settings.ADMINISTRATOR} PASSWORD '{verifier}';\n\\q\n"
    where = Container(site.platform, "postgres-0", "postgres")
    done = podexec.run(site.cluster, where, _PSQL, stdin=script)
    if done.code != 0:
        said = done.errors.strip() or f"exit code {done.code}"
        raise ClusterError(f"{where} does not take its administrator's password: {said}")
