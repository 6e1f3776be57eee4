"""Every way to make an RPC, from one position."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from paymesh.attack.model import NONE, OUTSIDE, Target, start_identities, users
from paymesh.attack.probe.agent.plan import Address, Tls
from paymesh.attack.probe.attempts import THROUGH_GATEWAY, Attempt, Spoken, nonce
from paymesh.attack.probe.doors import Envoy
from paymesh.attack.probe.ground import USER, Ground
from paymesh.mesh import Mesh, Workload

CLAIM_HEADER = "x-claimed-workload"
# Who else a claim that is sure to be overwritten names: somebody with the most to gain.
_CLAIMED = "payments"
_NOBODY, _SOMEBODY = "nobody", "somebody"
# Nothing but a sidecar may say these; alice owns the objects, and the roles are all there are.
_SOMEBODY_HEADERS = [
    ("x-paymesh-user", "alice"),
    ("x-paymesh-tenant", "acme"),
    ("x-paymesh-roles", "auditor,customer,operator"),
]


@dataclasses.dataclass(frozen=True)
class _Way:
    """`headers` names lists of `headers_of`; `with_tokens` is false where a token changes
    nothing.
    """

    words: str
    address: Address
    tls: Tls | None
    headers: tuple[str, ...]
    identity: str = NONE
    with_tokens: bool = True


def headers_of(ground: Ground) -> dict[str, list[tuple[str, str]]]:
    """The lists of headers that calls name: users' tokens, claims of arm A, and what only a
    sidecar may say, forged.
    """
    mesh = ground.mesh
    lists: dict[str, list[tuple[str, str]]] = {
        f"{USER}{name}": [("authorization", f"Bearer {ground.secret(USER + name)}")]
        for name in mesh.users.known
    }
    for name in mesh.workloads:
        lists[_claim(name)] = [(CLAIM_HEADER, mesh.spiffe_id(name))]
        said = [
            ("x-paymesh-caller", mesh.spiffe_id(name)),
            ("x-paymesh-grant", "forged"),
            ("x-paymesh-decision-id", "forged"),
        ]
        lists[_forged(name, _NOBODY)] = said
        lists[_forged(name, _SOMEBODY)] = [*said, *_SOMEBODY_HEADERS]
    return lists


def attempts(ground: Ground, rpcs: Mapping[str, Sequence[str]], position: str) -> Iterator[Attempt]:
    """Each RPC of each workload, with each user's token and none, in each way."""
    for callee in ground.mesh.services():
        ways = list(_ways(ground, position, callee))
        for rpc in rpcs[callee.name]:
            target = Target(callee.name, rpc)
            kinds = len(ground.stage.plants.requests(rpc, nonce()))
            for credential in users(ground.mesh):
                for way in ways:
                    if credential != NONE and not way.with_tokens:
                        continue
                    for kind in range(kinds):
                        yield _attempt(ground, position, target, credential, way=way, kind=kind)


def _attempt(
    ground: Ground, position: str, target: Target, credential: str, *, way: _Way, kind: int
) -> Attempt:
    name = nonce()
    body = ground.stage.plants.requests(target.method, name)[kind]
    token = () if credential == NONE else (credential,)
    return Attempt(
        id=name,
        position=position,
        target=target,
        way=way.words,
        identity=way.identity,
        credential=credential,
        deed=Spoken(
            way.address,
            way.tls,
            {
                "id": name,
                "path": target.method,
                "authority": f"{target.destination}.{ground.mesh.trust_domain}",
                "headers": [*token, *way.headers],
                "body": base64.b64encode(body).decode("ascii"),
                # It has no end of its own.
                "first": target.method.endswith("/Watch"),
            },
        ),
    )


def _ways(ground: Ground, position: str, callee: Workload) -> Iterator[_Way]:
    mesh = ground.mesh
    forged = _forged("gateway", _SOMEBODY)
    for door in ground.envoys[callee.name].ports:
        at = "" if door.address == ground.tcp(callee.port) else f", at its port {door.name}"
        yield _Way(f"in plaintext{at}", door.address, None, (forged,))
        for name in mesh.workloads:
            words = f"in plaintext, claiming to be {name}{at}"
            yield _Way(words, door.address, None, (_claim(name), _forged(name, _SOMEBODY)))
        for identity in start_identities(mesh, position):
            shown = None if identity == NONE else ground.certificate(position, identity)
            with_what = "without a certificate" if shown is None else "with its certificate"
            tls = _tls(f"{callee.name}.{mesh.trust_domain}", shown)
            headers = (_claim(_CLAIMED), forged)
            yield _Way(f"by TLS {with_what}{at}", door.address, tls, headers, identity)
    for workload in mesh.sidecars():
        envoy = ground.envoys[workload.name]
        if workload.kind == "gateway":
            yield from _gateway_ways(mesh, position, envoy)
        for door in envoy.ways_out:
            words = f"by {workload.name}'s {door.name} socket"
            yield _Way(words, door.address, None, (_claim(_CLAIMED), forged))
    yield from _ways_past_the_sidecar(ground, callee)


def _ways_past_the_sidecar(ground: Ground, callee: Workload) -> Iterator[_Way]:
    """An app believes whoever reaches its socket. A token is nothing to itself: it hands it
    on to those whom it calls for a user.
    """
    socket = ground.unix(callee.name, "app.sock")
    for caller in ground.mesh.workloads:
        for whom in (_NOBODY, _SOMEBODY):
            words = f"at its app's socket, as {caller} for {whom}"
            handed_on = whom == _SOMEBODY and caller in {"gateway", "payments"}
            headers = (_forged(caller, whom),)
            yield _Way(words, socket, None, headers, with_tokens=handed_on)


def _gateway_ways(mesh: Mesh, position: str, envoy: Envoy) -> Iterator[_Way]:
    """Whoever has nothing but the gateway tries every name there."""
    claimed = [*mesh.workloads] if position == OUTSIDE else [_CLAIMED]
    for door in envoy.ports:
        for name in claimed:
            words = f"{THROUGH_GATEWAY}, claiming to be {name}"
            headers = (_claim(name), _forged(name, _SOMEBODY))
            yield _Way(words, door.address, _tls("localhost", None), headers)


def _tls(server_name: str, identity: str | None) -> Tls:
    return {"identity": identity, "server_name": server_name, "alpn": ["h2"]}


def _claim(workload: str) -> str:
    return f"claim:{workload}"


def _forged(caller: str, whom: str) -> str:
    return f"forged:{caller}:{whom}"
