"""What the services do with a call that has reached them, by their code.

Configuration decides who gets here and what the policy answers; what a service asks it, with
which facts, and whom it calls in turn, is code and stands here by hand:

    services/meshkit/context.py, interceptors/    who is taken to call, health without that
    services/payments/{servicer,handlers,queries,finisher,ledger_client,links_client}.py
    services/ledger/{servicer,handlers}.py
    services/bank_link/{servicer,handlers}.py

An RPC that is not in the table counts as carried out once it has got through to the app.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping

from paymesh.attack.computed.filters import DECISION_ID
from paymesh.attack.computed.messages import (
    AUTHORIZATION,
    HEALTH,
    LEDGER,
    LINKS,
    OWNER,
    PAYMENTS,
    TENANT,
    Call,
    as_body,
)
from paymesh.attack.computed.oracle import every
from paymesh.mesh import Mesh

_CALLER, _GRANT = "x-paymesh-caller", "x-paymesh-grant"
_USER, _TENANT, _ROLES = "x-paymesh-user", "x-paymesh-tenant", "x-paymesh-roles"
_STAFF = frozenset({"operator", "auditor"})


@dataclasses.dataclass(frozen=True)
class User:
    """An end user as the sidecar's headers have him."""

    sub: str
    tenant: str
    roles: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """As services/meshkit/pdp.py states him to the policy."""
        return {"sub": self.sub, "tenant": self.tenant, "roles": sorted(self.roles)}


@dataclasses.dataclass(frozen=True)
class Given:
    """A call as its handler sees it. `token` is passed on to whom the service calls."""

    caller: str
    user: User | None
    token: str | None
    body: str


@dataclasses.dataclass(frozen=True)
class Asks:
    """The service's own decision point allows this action with such an object."""

    action: str
    facts: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Calls:
    """Another service carries out this call, for the same user."""

    rpc: str
    body: str


@dataclasses.dataclass(frozen=True)
class Uses:
    """Somebody outside the mesh is reached through the sidecar, with the service's own key."""

    external: str


Need = Asks | Calls | Uses | bool
Permits = Callable[[str, str, object, Mapping[str, str]], bool]
Sends = Callable[[str, str, Call], str | None]


@dataclasses.dataclass(frozen=True)
class Apps:
    """All services' apps. `permits` answers questions about objects; `sends` gives a call of
    a workload to one of its sidecar's sockets and says who carries it out.
    """

    mesh: Mesh
    permits: Permits
    sends: Sends

    def runs(self, workload: str, call: Call) -> bool:
        """Whether the workload's app carries the call out. Raises Pending."""
        if call.path.startswith(HEALTH):
            return True
        given = given_of(call, self.mesh.trust_domain)
        if given is None:
            return False
        needs = _NEEDS.get(call.path)
        return needs is None or every(self._check(workload, given, n) for n in needs(given))

    def _check(self, workload: str, given: Given, need: Need) -> Callable[[], bool]:
        if isinstance(need, bool):
            return lambda: need
        if isinstance(need, Asks):
            user = given.user.as_json() if given.user else None
            return lambda: self.permits(need.action, given.caller, user, need.facts)
        if isinstance(need, Uses):
            host = self.mesh.external[need.external].host
            outside = Call("/v1/x", host, is_grpc=False)
            return lambda: self.sends(workload, "egress.sock", outside) == need.external
        onward = Call(need.rpc, "localhost", need.body).having(
            {AUTHORIZATION: given.token} if given.token else {}
        )
        return lambda: self.sends(workload, "outbound.sock", onward) is not None


def given_of(call: Call, trust_domain: str) -> Given | None:
    """services/meshkit/context.py: from_headers; None where it refuses."""
    headers = dict(call.headers)
    caller = headers.get(_CALLER, "")
    if not caller.startswith(f"spiffe://{trust_domain}/"):
        return None
    if not headers.get(_GRANT) or not headers.get(DECISION_ID):
        return None
    stated = [headers.get(name, "") for name in (_USER, _TENANT, _ROLES)]
    if any(stated) and not all(stated):
        return None
    user = User(stated[0], stated[1], tuple(stated[2].split(","))) if all(stated) else None
    return Given(caller, user, call.user, call.body)


def forged(mesh: Mesh) -> Iterator[dict[str, str]]:
    """Headers that somebody sets who can open an app's socket: each caller, without a user and
    as each that is known, and as the objects' owner with every role that there is.
    """
    known = [User(user.name, user.tenant, user.roles) for user in mesh.users.known.values()]
    roles = tuple(sorted({role for user in known for role in user.roles}))
    for workload in mesh.workloads:
        sidecars = {_CALLER: mesh.spiffe_id(workload), _GRANT: "x", DECISION_ID: "x"}
        yield sidecars
        for user in (*known, User(OWNER, TENANT, roles)):
            stated = {_USER: user.sub, _TENANT: user.tenant, _ROLES: ",".join(user.roles)}
            yield sidecars | stated


def _create_payment(given: Given) -> Iterator[Need]:
    yield given.user is not None
    if given.user is not None:
        # The merchant's account has to be of the user's own tenant.
        yield given.user.tenant == TENANT
    yield Calls(f"{LEDGER}GetBalance", "{}")
    yield Calls(f"{LINKS}GetLink", "{}")
    yield Asks("links.use", {"owner": OWNER, "state": "SUCCESS"})
    # Asked for once by each process, and kept: without it no payment has ever been made.
    clearing = as_body(legalEntity=TENANT, kind=f"{_KIND}CLEARING")
    yield Calls(f"{LEDGER}OpenAccount", clearing)
    yield Uses("card-processor")
    yield _transfer(given)


def _refund_payment(given: Given) -> Iterator[Need]:
    yield given.user is not None
    yield Asks("payments.refund", {"tenant": TENANT, "owner": OWNER})
    yield Uses("card-processor")
    yield _transfer(given)


def _transfer(given: Given) -> Need:
    """Of the amount that was paid or is given back, from one account to the other."""
    amount = json.loads(given.body)["amount"]
    taken = {**amount, "minorUnits": f"-{amount['minorUnits']}"}
    return Calls(f"{LEDGER}PostTransfer", as_body(legs=[{"amount": taken}, {"amount": amount}]))


def _get_payment(given: Given) -> Iterator[Need]:
    yield given.user is not None
    yield Asks("payments.read", {"tenant": TENANT, "owner": OWNER})


def _list_payments(given: Given) -> Iterator[Need]:
    yield given.user is not None
    if given.user is not None:
        # Of the user's own tenant, and his own if he is no staff.
        own = {} if _STAFF & set(given.user.roles) else {"owner": given.user.sub}
        yield Asks("payments.list", {"tenant": given.user.tenant, **own})


def _create_link(given: Given) -> Iterator[Need]:
    yield given.user is not None
    yield Uses("bank-data")


def _list_links(given: Given) -> Iterator[Need]:
    yield given.user is not None


def _get_link(given: Given) -> Iterator[Need]:
    to_use = given.caller.rpartition("/")[2] == "payments"
    yield Asks("links.use" if to_use else "links.read", _LINK)


def _verify_link(_: Given) -> Iterator[Need]:
    # It is verified already, so that the bank's API is not asked.
    yield Asks("links.verify", _LINK)


def _remove_link(_: Given) -> Iterator[Need]:
    # It was removed before, which is as good as the first time: the bank's API is not asked.
    yield Asks("links.remove", {**_LINK, "state": "REMOVED"})


def _open_account(given: Given) -> Iterator[Need]:
    opening = json.loads(given.body)
    kind = opening["kind"].removeprefix(_KIND)
    yield Asks("accounts.open", {"tenant": opening["legalEntity"], "kind": kind})


def _post_transfer(_: Given) -> Iterator[Need]:
    for kind in ("MERCHANT", "CLEARING"):
        yield Asks("accounts.post", {"tenant": TENANT, "kind": kind})


def _read_account(_: Given) -> Iterator[Need]:
    yield Asks("accounts.read", {"tenant": TENANT, "kind": "MERCHANT"})


def _list_balances(given: Given) -> Iterator[Need]:
    yield Asks("accounts.read", {"tenant": json.loads(given.body)["legalEntity"]})


_KIND = "ACCOUNT_KIND_"
_LINK = {"tenant": TENANT, "owner": OWNER, "state": "SUCCESS"}

_NEEDS: dict[str, Callable[[Given], Iterator[Need]]] = {
    f"{PAYMENTS}CreatePayment": _create_payment,
    f"{PAYMENTS}RefundPayment": _refund_payment,
    f"{PAYMENTS}GetPayment": _get_payment,
    f"{PAYMENTS}ListPayments": _list_payments,
    f"{LINKS}CreateLink": _create_link,
    f"{LINKS}ListLinks": _list_links,
    f"{LINKS}GetLink": _get_link,
    f"{LINKS}VerifyLink": _verify_link,
    f"{LINKS}RemoveLink": _remove_link,
    f"{LEDGER}OpenAccount": _open_account,
    f"{LEDGER}PostTransfer": _post_transfer,
    f"{LEDGER}GetBalance": _read_account,
    f"{LEDGER}ListEntries": _read_account,
    f"{LEDGER}ListBalances": _list_balances,
}
