"""The targets that are no RPC: databases, keys, sockets, and who gets at them."""

from __future__ import annotations

from collections.abc import Callable

from paymesh.attack import model
from paymesh.attack.computed.doors import address_of
from paymesh.attack.computed.machine import Machine
from paymesh.attack.computed.oracle import Oracle
from paymesh.attack.computed.site import DATABASE_DOOR, Site, at
from paymesh.attack.model import OUTSIDE, State, Target
from paymesh.errors import ConfigError

# Where the programs put them (deploy/paymesh/runtime).
_DATABASE_SOCKET = "run/postgres/.s.PGSQL.5432"
_AGENT_SOCKET = "run/spire-agent/api.sock"
_SERVER_SOCKET = "run/spire-server/private.sock"
_CONTROL_SOCKET = "control.sock"


class Others:
    """Everything but RPCs, on one machine."""

    def __init__(self, site: Site, machine: Machine, oracle: Oracle) -> None:
        self._site = site
        self._machine = machine
        self._oracle = oracle
        self._opens: dict[tuple[str, str], Callable[[State, str], bool]] = {
            ("database", model.WRITE): self._writes_database,
            ("provider", model.USE): self._uses_provider,
            ("decision-point", model.ASK): self._is_answered,
            ("decision-point", model.CHECK): self._checks,
            ("envoy", model.ADMINISTER): self._administers,
            ("bundle-server", model.FETCH): self._fetches,
            ("spire-agent", "svid"): self._is_given,
            ("spire-server", model.MINT): self._mints,
            ("policy-key", model.SIGN): self._signs_policy,
            ("token-issuer", model.SIGN): self._signs_tokens,
            ("supervisor", model.CONTROL): self._controls,
        }

    def opens(self, state: State, target: Target) -> bool:
        """Whether the state makes the target execute.

        Raises:
            Pending: the policy has to be asked first.
            ConfigError: there is no such target.
        """
        kind, _, name = target.destination.partition(":")
        method, _, wanted = target.method.partition(":")
        if (kind, method) not in self._opens:
            raise ConfigError(f"nobody knows here what {target} is")
        return self._opens[kind, method](state, name or wanted)

    def _writes_database(self, state: State, name: str) -> bool:
        """PostgreSQL asks everybody for the role's password (runtime/postgres_settings.py)."""
        is_open = DATABASE_DOOR in self._site.doors and _is_on_the_machine(state)
        return self._has(state, f"database:{name}") and (
            is_open or self._may_connect(state, _DATABASE_SOCKET)
        )

    def _uses_provider(self, state: State, name: str) -> bool:
        return _is_on_the_machine(state) and self._has(state, f"provider:{name}")

    def _is_answered(self, state: State, workload: str) -> bool:
        if not _is_on_the_machine(state):
            return False
        if self._oracle.serves_questions(to_owner=False):
            return True
        has_token = self._has(state, f"decision-point:{workload}")
        return self._oracle.serves_questions(to_owner=True) and has_token

    def _checks(self, state: State, workload: str) -> bool:
        return self._may_connect(state, f"run/{workload}/authz.sock")

    def _administers(self, state: State, workload: str) -> bool:
        address = at(self._site.envoys[workload], "admin", "address")
        if address is None:
            return False
        port, pipe, mode = address_of(workload, address)
        if pipe is not None:
            return self._may_connect(state, pipe, mode)
        return port is not None and _is_on_the_machine(state)

    def _fetches(self, state: State, _: str) -> bool:
        """The bundle server asks whether a token is known, not whose it is (policy/server.py)."""
        has_one = any(self._has(state, f"bundle:{w.name}") for w in self._site.mesh.services())
        return _is_on_the_machine(state) and has_one

    def _is_given(self, state: State, workload: str) -> bool:
        given = self._machine.identities(self._machine.account(state.position))
        wanted = self._site.mesh.spiffe_id(workload)
        return any(entry.spiffe_id == wanted for entry in given) and self._may_connect(
            state, _AGENT_SOCKET
        )

    def _mints(self, state: State, _: str) -> bool:
        return self._may_connect(state, _SERVER_SOCKET) or self._gets(state, "spire-server")

    def _signs_policy(self, state: State, _: str) -> bool:
        return self._gets(state, "policy-key")

    def _signs_tokens(self, state: State, _: str) -> bool:
        return self._gets(state, "token-issuer")

    def _controls(self, state: State, _: str) -> bool:
        return self._may_connect(state, _CONTROL_SOCKET)

    def _may_connect(self, state: State, path: str, mode: int | None = None) -> bool:
        return self._machine.may_connect(self._machine.account(state.position), path, mode)

    def _gets(self, state: State, what: str) -> bool:
        return self._machine.can_get(self._machine.account(state.position), what)

    def _has(self, state: State, credential: str) -> bool:
        return state.credential == credential or self._gets(state, credential)


def _is_on_the_machine(state: State) -> bool:
    """Whether it reaches the machine's TCP ports; outside, only the gateway's is forwarded."""
    return state.position != OUTSIDE
