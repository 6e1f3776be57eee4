"""What runs on this machine, and after what: the only list of processes there is."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from paymesh.mesh import Workload
from paymesh.render import ENVOY_ARGS
from paymesh.runtime import pdp, probes, shipping
from paymesh.runtime.accounts import POSTGRES
from paymesh.runtime.graph import Step
from paymesh.runtime.policies import Policies
from paymesh.runtime.postgres import Postgres
from paymesh.runtime.process import Spec
from paymesh.runtime.programs import Programs
from paymesh.runtime.spire import Spire
from paymesh.runtime.workspace import Workspace

# Far above what it needs (policies/pdp/README.md): a bound, not a setting.
_PDP_ENVIRONMENT = {"GOMEMLIMIT": "64MiB", "GOMAXPROCS": "2"}
PASSED_ON = ("OTEL_EXPORTER_OTLP_ENDPOINT", "PAYMESH_LOG_LEVEL")


class Table:
    """Steps and processes of one home."""

    def __init__(
        self, workspace: Workspace, programs: Programs, environment: Mapping[str, str]
    ) -> None:
        self._workspace = workspace
        self.programs = programs
        self._passed_on = {key: environment[key] for key in PASSED_ON if environment.get(key)}
        self._postgres = Postgres(
            workspace, programs.postgres, programs.python.environment(tools=True)
        )
        self._spire = Spire(workspace, programs)
        self._policies = Policies(workspace, programs.pdp)

    def steps(self) -> list[Step]:
        """What is done once at each start."""
        return [
            Step("roles", self._postgres.ensure_roles, (POSTGRES,)),
            Step("migrations", self._postgres.migrate, ("roles",)),
            Step("entries", self._spire.ensure_entries, ("spire-server",)),
            Step("trust-bundle", self._spire.write_bundle, ("spire-server",)),
            Step("bundle", self._policies.publish),
        ]

    async def follow(self, say: Callable[[str], None]) -> None:
        """Publishes edits of `policies/`, and hands on what the shipping of decisions is
        configured with, until cancelled.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._policies.follow(say))
            group.create_task(self._workspace.shipping.follow(say))

    def processes(self) -> list[Spec]:
        """Every process, in the order in which `status` lists them."""
        self._spire.prepare()
        platform = [
            self._postgres_spec(),
            self._spire_server(),
            self._spire_agent(),
            self._bundle_server(),
            self._simulators(),
        ]
        mesh = self._workspace.mesh
        services = [
            spec
            for workload in mesh.services()
            for spec in (self._pdp(workload), self._app(workload), self._envoy(workload))
        ]
        gateways = [self._envoy(w) for w in mesh.sidecars() if w.kind == "gateway"]
        return [*platform, *services, *gateways]

    def _spec(self, name: str, owner: str, argv: list[str | Path], **more: object) -> Spec:
        workspace = self._workspace
        return Spec(
            name=name,
            argv=tuple(argv),
            directory=workspace.paths.workload(owner),
            account=workspace.accounts.of(owner),
            **more,  # type: ignore[arg-type]
        )

    def _postgres_spec(self) -> Spec:
        return self._spec(
            POSTGRES,
            POSTGRES,
            self._postgres.argv(),
            prepare=self._postgres.prepare,
            ready=self._postgres.probe,
            # Fast shutdown: does not wait for clients to leave.
            stop_signal=signal.SIGINT,
            stop_seconds=30.0,
        )

    def _spire_server(self) -> Spec:
        mesh = self._workspace.mesh
        return self._spec(
            "spire-server",
            "spire-server",
            self._spire.server_argv(),
            after=("roles",),
            ready=probes.all_of(
                probes.unix(self._spire.server_socket),
                probes.tcp(mesh.address, mesh.ports["spire_server"]),
            ),
        )

    def _spire_agent(self) -> Spec:
        return self._spec(
            "spire-agent",
            "spire-agent",
            self._spire.agent_argv(),
            after=("entries", "trust-bundle"),
            ready=probes.unix(self._spire.agent_socket),
        )

    def _simulators(self) -> Spec:
        paths, mesh = self._workspace.paths, self._workspace.mesh
        cards, banks = mesh.ports["card_processor"], mesh.ports["bank_data"]
        return self._python(
            "simulators",
            "simulators",
            [
                *("-m", "simulators"),
                *("--address", mesh.address),
                *("--cards-port", str(cards)),
                *("--banks-port", str(banks)),
                *("--tls-dir", "tls"),
                *("--state-dir", str(paths.data / "simulators")),
                *("--keys", "keys.json"),
            ],
            ready=probes.all_of(probes.tcp(mesh.address, cards), probes.tcp(mesh.address, banks)),
        )

    def _python(
        self,
        name: str,
        owner: str,
        arguments: list[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        tools: bool = False,
        **more: object,
    ) -> Spec:
        python = self.programs.python
        return self._spec(
            name,
            owner,
            [self.programs.python_of(owner), *arguments],
            environment={
                **python.environment(tools=tools),
                **self._passed_on,
                **(environment or {}),
            },
            **more,
        )

    def _pdp(self, workload: Workload) -> Spec:
        mesh, paths = self._workspace.mesh, self._workspace.paths
        token = self._workspace.pdp_token(workload.name)
        return self._spec(
            f"{workload.name}-pdp",
            workload.name,
            [self.programs.pdp, *pdp.arguments(mesh, workload)],
            after=("bundle-server",),
            environment={
                **_PDP_ENVIRONMENT,
                "PAYMESH_PDP_TOKEN_SHA256": hashlib.sha256(token.encode()).hexdigest(),
            },
            ready=probes.all_of(
                probes.grpc_health(paths.workload(workload.name) / "authz.sock"),
                probes.http((mesh.address, int(workload.pdp_port or 0)), "/health", token=token),
            ),
        )

    def _app(self, workload: Workload) -> Spec:
        mesh, paths = self._workspace.mesh, self._workspace.paths
        environment = {
            "PAYMESH_WORKLOAD": workload.name,
            "PAYMESH_TRUST_DOMAIN": mesh.trust_domain,
            "PAYMESH_APP_SOCKET": "app.sock",
            "PAYMESH_OUTBOUND_SOCKET": "outbound.sock",
            "PAYMESH_PDP_URL": f"http://{mesh.address}:{workload.pdp_port}",
            "PAYMESH_PDP_TOKEN_FILE": "pdp-token",
            "PAYMESH_MAX_MESSAGE_BYTES": str(mesh.limits.max_message_bytes),
        }
        if workload.database:
            environment["PAYMESH_DSN_FILE"] = "dsn"
        if workload.egress:
            environment["PAYMESH_EGRESS_SOCKET"] = "egress.sock"
            environment["PAYMESH_PROVIDER_KEY_FILE"] = f"{workload.egress[0]}.key"
        return self._python(
            f"{workload.name}-app",
            workload.name,
            ["-m", workload.module],
            environment=environment,
            after=("migrations",),
            ready=probes.grpc_health(paths.workload(workload.name) / "app.sock"),
            stop_seconds=15.0,
        )

    def _envoy(self, workload: Workload) -> Spec:
        directory = self._workspace.paths.workload(workload.name)
        return self._spec(
            f"{workload.name}-envoy",
            workload.name,
            [
                self.programs.envoy_of(workload.name),
                *("--config-path", "envoy.yaml"),
                *ENVOY_ARGS,
            ],
            after=("spire-agent",),
            ready=probes.envoy(directory / "admin.sock"),
        )

    def _bundle_server(self) -> Spec:
        mesh, port = self._workspace.mesh, self._workspace.mesh.ports["bundle_server"]
        return self._python(
            "bundle-server",
            "bundle-server",
            [
                *("-m", "paymesh.policy.server"),
                *("--directory", str(self._workspace.bundles)),
                *("--address", mesh.address),
                *("--port", str(port)),
                *("--tokens", "tokens"),
            ],
            tools=True,
            after=("bundle",),
            ready=probes.http((mesh.address, port), "/health"),
        )


def passed_on(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the supervisor's own environment consists of: nothing else is inherited."""
    source = os.environ if environment is None else environment
    own = ("PAYMESH_HOME", "PAYMESH_CACHE", "PAYMESH_PORT_OFFSET", "PAYMESH_ROOT")
    names = (*own, *PASSED_ON, *shipping.VARIABLES)
    return {name: source[name] for name in names if source.get(name)}
