"""Secrets without an end: they go on working until somebody changes them."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import Mapping, Sequence

from jwt.utils import base64url_decode

from paymesh.attack.lifetimes import doors
from paymesh.attack.lifetimes.model import Lifetime
from paymesh.attack.lifetimes.place import Place
from paymesh.calls import Catalogue
from paymesh.mesh import Mesh
from paymesh.policy import bundle, names

_DATABASE, _SERVICE = "ledger", "ledger"
_PATH = {
    "decision-point": "/v1/data/paymesh/objects/decision",
    "bundle": f"/bundles/{names.FILE_NAME}",
    "provider": "/_admin/charges",
}
_WORDS = {
    "provider": ("a payment provider's key", "secrets/card-processor.key"),
    "decision-point": ("a decision point's token", f"secrets/pdp-token-{_SERVICE}"),
    "bundle": ("a token for the bundle server", f"secrets/bundle-token-{_SERVICE}"),
}
# Parts of names of RPCs that a provider would call.
_WEBHOOK_WORDS = ("webhook", "callback", "notify")
_CHANGED = "nothing by itself: somebody takes {0} away and starts the mesh, which makes a new one"


def all_of(place: Place, databases: Mapping[str, tuple[str, int]]) -> list[Lifetime]:
    """Each of them, used once with and once without.

    Args:
        place: where.
        databases: the TCP doors that databases have, by name: none in a mesh as it is shipped.

    Raises:
        StartError: the thief's program failed.
    """
    without, with_it = (_http_doors(place, shown=shown) for shown in (False, True))
    outcomes = _try(place, [*without.values(), *with_it.values()])
    shut, opened = outcomes[: len(without)], outcomes[len(without) :]
    found = [_database(place, databases)]
    for number, kind in enumerate(without):
        measured = f"shown by a thief: {opened[number][1]}; without it: {shut[number][1]}"
        right = (shut[number][0], opened[number][0]) == (doors.SHUT, doors.OPEN)
        found.append(
            Lifetime(
                kind,
                _WORDS[kind][0],
                _CHANGED.format(f"its file {_WORDS[kind][1]}"),
                None,
                (measured,),
                () if right else (measured,),
            )
        )
    return [*found, _policy_key(place), _webhook(place.mesh)]


def _http_doors(place: Place, *, shown: bool) -> dict[str, doors.Door]:
    mesh, secrets = place.mesh, place.paths.secrets
    processor = mesh.external["card-processor"]

    def secret(name: str) -> str:
        return (secrets / name).read_text("ascii").strip() if shown else ""

    return {
        "provider": doors.Http(
            (mesh.address, processor.port),
            "GET",
            _PATH["provider"],
            secret(f"{processor.name}.key"),
            tls=True,
        ),
        "decision-point": doors.Http(
            (mesh.address, mesh.workloads[_SERVICE].pdp_port or 0),
            "POST",
            _PATH["decision-point"],
            secret(place.paths.pdp_token(_SERVICE).name),
            body='{"input":{}}',
        ),
        "bundle": doors.Http(
            (mesh.address, mesh.ports["bundle_server"]),
            "GET",
            _PATH["bundle"],
            secret(f"bundle-token-{_SERVICE}"),
        ),
    }


def _database(place: Place, relays: Mapping[str, tuple[str, int]]) -> Lifetime:
    """From who may reach the socket, and from everywhere where there is a port too."""
    password = place.paths.password(_DATABASE).read_text("ascii").strip()
    socket = doors.Database(str(place.paths.workload("postgres")), 5432, _DATABASE, password)
    (outside,) = _try(place, [socket])
    (member,) = _try(place, [socket], place.mesh.database_gid)
    (guessed,) = _try(
        place, [dataclasses.replace(socket, password=password[::-1])], place.mesh.database_gid
    )
    measured = [
        f"a thief outside the databases' group: {outside[0]}",
        f"inside it: {member[0]}, the role's password ends: {member[1]}",
        f"with another password: {guessed[0]}",
    ]
    right = (outside[0], *member, guessed[0]) == (doors.SHUT, doors.OPEN, "never", doors.SHUT)
    if _DATABASE in relays:
        host, port = relays[_DATABASE]
        (anywhere,) = _try(place, [dataclasses.replace(socket, host=host, port=port)])
        measured.append(f"from anywhere at {host}:{port}: {anywhere[0]}")
        right = right and anywhere[0] == doors.OPEN
    return Lifetime(
        "database",
        "a database's password",
        _CHANGED.format(f"its file secrets/postgres-{_DATABASE}"),
        None,
        tuple(measured),
        () if right else tuple(measured),
    )


def _policy_key(place: Place) -> Lifetime:
    """Whether what it signs has an end."""
    data = bundle.published_bytes(place.paths.bundles)
    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        member = packed.extractfile(".signatures.json")
        (signature,) = json.load(member)["signatures"] if member else ("",)
    claims = json.loads(base64url_decode(signature.split(".")[1]))
    measured = f"the published bundle's signature claims {', '.join(sorted(claims))}"
    return Lifetime(
        "policy-key",
        "the key that signs policies",
        _CHANGED.format("its file secrets/pki/bundle.key"),
        None,
        (measured,),
        (measured,) if "exp" in claims else (),
    )


def _webhook(mesh: Mesh) -> Lifetime:
    """No RPC takes a provider's word for anything: the services ask the providers."""
    catalogue = Catalogue.load()
    served = [workload.rpc_service for workload in mesh.services() if workload.rpc_service]
    methods = [rpc.name for name in served for rpc in catalogue.service(name).methods]
    taken = [name for name in methods if any(word in name.lower() for word in _WEBHOOK_WORDS)]
    return Lifetime(
        "webhook",
        "a webhook's secret",
        "nothing: there is none, because nothing in the mesh receives webhooks",
        0,
        (f"none of the services' {len(methods)} RPCs is for a provider to call",),
        tuple(f"{name} receives webhooks" for name in taken),
    )


def _try(place: Place, tried: Sequence[doors.Door], *groups: int) -> list[tuple[str, str]]:
    text = place.run(
        ["-m", "paymesh.attack.lifetimes.doors"],
        place.thief(*groups),
        stdin=json.dumps([doors.as_json(door) for door in tried]),
        seconds=len(tried) * 5.0,
    )
    return [(outcome, detail) for outcome, detail in json.loads(text)]
