"""Writing a database: a row that is named after the attempt, seen by the database's owner."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence

import psycopg

from paymesh.attack.model import NONE, WRITE, Target
from paymesh.attack.probe.agent.plan import ANSWERED, Address, Errand
from paymesh.attack.probe.attempts import Attempt, Tried, Verdict, letters, nonce
from paymesh.attack.probe.canaries.base import attempt
from paymesh.attack.probe.errors import ProbeError
from paymesh.attack.probe.ground import Ground
from paymesh.runtime.accounts import POSTGRES
from paymesh.runtime.postgres_settings import ADMINISTRATOR, owner_of
from paymesh.runtime.workspace import dsn

_SOCKET = ".s.PGSQL.5432"
# Statements of rows that the service's role may insert, that stand by themselves and that
# the service takes no notice of; and the question which of them are there.
_ROWS: Mapping[str, tuple[str, str]] = {
    "payments": (
        (
            "INSERT INTO operation (operation_id, tenant, user_sub, rpc, key_hash, request_hash,"
            " lease_token, lease_until) VALUES ('{id}', 'canary', '{name}', 'CreatePayment',"
            " sha256('{name}'), sha256('{name}'), '{id}', now())"
        ),
        "SELECT operation_id FROM operation WHERE operation_id = ANY(%s)",
    ),
    "ledger": (
        (
            "INSERT INTO accounts (account_id, legal_entity, kind, currency_code)"
            " VALUES ('{id}', 'canary-{name}', 'ACCOUNT_KIND_MERCHANT', 'EUR')"
        ),
        "SELECT account_id FROM accounts WHERE account_id = ANY(%s)",
    ),
    "bank_link": (
        (
            "INSERT INTO links (link_id, tenant, owner, request_id, fingerprint, institution_id)"
            " VALUES ('{id}', 'canary', '{name}', '{id}', sha256('{name}'), 'ins_canary')"
        ),
        "SELECT link_id FROM links WHERE link_id = ANY(%s)",
    ),
}


class Databases:
    """All databases of services."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        mesh = ground.mesh
        self._names = [w.database for w in mesh.workloads.values() if w.database]
        for name in self._names:
            if name not in _ROWS:
                raise ProbeError(
                    f"no row is known to write into database {name}: add one to"
                    " deploy/paymesh/attack/probe/canaries/databases.py"
                )

    def attempts(self, position: str) -> Iterator[Attempt]:
        """As the database's role with its password, and as whoever else without one."""
        for name in self._names:
            target = Target(f"database:{name}", WRITE)
            for door, address in self._doors(name):
                for credential in (NONE, target.destination):
                    for words, secret in self._ground.shown(
                        position, credential, target.destination
                    ):
                        others = (owner_of(name), ADMINISTRATOR) if secret is None else ()
                        for role in (name, *others):
                            way = f"{door}, as role {role}{words}"
                            errand = _insert(name, address, role, secret)
                            yield attempt(position, target, way, errand, credential)

    def judge(self, tried: Sequence[Tried]) -> Iterator[Verdict]:
        """The rows that are there."""
        there = {name: self._rows(name, tried) for name in self._names}
        for one in tried:
            name = one.attempt.target.destination.partition(":")[2]
            answered = one.result["state"] == ANSWERED
            yield Verdict(one, answered, uuid.UUID(one.attempt.id) in there[name])

    def _doors(self, name: str) -> Iterator[tuple[str, Address]]:
        yield "by its Unix socket", self._ground.unix(POSTGRES, _SOCKET)
        listens = self._ground.stage.databases.get(name)
        if listens is not None:
            yield "by its port", {"tcp": listens}

    def _rows(self, name: str, tried: Sequence[Tried]) -> set[uuid.UUID]:
        paths, owner = self._ground.paths, owner_of(name)
        conninfo = dsn(paths, name, owner, paths.password(owner).read_text("ascii").strip())
        wanted = [
            uuid.UUID(one.attempt.id)
            for one in tried
            if one.attempt.target.destination == f"database:{name}"
        ]
        try:
            with psycopg.connect(conninfo, connect_timeout=5) as connection:
                return {row[0] for row in connection.execute(_ROWS[name][1].encode(), [wanted])}
        except psycopg.Error as error:
            raise ProbeError(f"database {name} cannot be looked into: {error}") from error


def _insert(database: str, address: Address, role: str, password: str | None) -> Errand:
    name = nonce()
    row = _ROWS[database][0].format(id=uuid.UUID(name), name=letters(name))
    return {
        "id": name,
        "kind": "row",
        "address": address,
        "database": database,
        "role": role,
        "password": password,
        "statement": row,
    }
