"""`python -m paymesh.attack.lifetimes.doors`: shows each secret at its door, once.

Runs under the uid of a thief. A JSON list of doors comes on standard input, and a list of what
came of each goes to standard output.
"""

from __future__ import annotations

import dataclasses
import json
import sys

import psycopg

from paymesh.attack import wire

_SECONDS = 5.0
OPEN, SHUT = "open", "shut"


@dataclasses.dataclass(frozen=True)
class Http:
    """An HTTP/1 door: open when the answer to it is not 401 nor 403."""

    address: tuple[str, int]
    method: str
    path: str
    token: str
    tls: bool = False
    body: str = ""

    def try_it(self) -> tuple[str, str]:
        """OPEN or SHUT, and the status."""
        host, port = self.address
        tls = wire.Tls(alpn=("http/1.1",)) if self.tls else None
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            f"host: {host}:{port}",
            "connection: close",
            f"content-length: {len(self.body)}",
            *([f"authorization: Bearer {self.token}"] if self.token else []),
        ]
        data = "\r\n".join([*lines, "", self.body]).encode()
        with wire.connect(wire.Tcp(host, port), tls, _SECONDS) as connection:
            status = wire.exchange_http1(connection, data, _SECONDS).status
        return (SHUT if status in {None, 401, 403} else OPEN), str(status)


@dataclasses.dataclass(frozen=True)
class Database:
    """PostgreSQL: open when it lets the role in. Says until when the password is good."""

    host: str
    port: int
    name: str
    password: str

    def try_it(self) -> tuple[str, str]:
        """OPEN with the password's end, or SHUT."""
        with psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=self.name,
            user=self.name,
            password=self.password,
            connect_timeout=round(_SECONDS),
        ) as connection:
            found = connection.execute(
                "SELECT coalesce(rolvaliduntil::text, 'never') FROM pg_roles"
                " WHERE rolname = current_user"
            ).fetchone()
        return OPEN, str(found[0]) if found else ""


Door = Http | Database


def as_json(door: Door) -> dict[str, object]:
    """What `main` reads."""
    return {"kind": type(door).__name__, **dataclasses.asdict(door)}


def _door(fields: dict[str, object]) -> Door:
    kind = fields.pop("kind")
    if kind == "Http":
        fields["address"] = tuple(fields["address"])  # type: ignore[arg-type]
        return Http(**fields)  # type: ignore[arg-type]
    return Database(**fields)  # type: ignore[arg-type]


def tried(door: Door) -> tuple[str, str]:
    """OPEN or SHUT, and what is known of it besides; no door raises."""
    try:
        return door.try_it()
    except (OSError, psycopg.Error) as error:
        return SHUT, type(error).__name__


def main() -> None:
    """Standard input to standard output."""
    json.dump([tried(_door(fields)) for fields in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
