"""Which object of a build comes when: later stages stand on earlier ones that are up."""

from __future__ import annotations

import enum
from collections.abc import Container, Iterable

from paymesh.kube.objects import COMPONENT, Key, Object, key, label


class Stage(enum.IntEnum):
    """In the order of a deployment. What is waited for is said by `wait`."""

    DEFINITIONS = enum.auto()
    NAMESPACES = enum.auto()
    GUARDS = enum.auto()
    SPIRE_SERVER = enum.auto()
    SPIRE_AGENT = enum.auto()
    IDENTITIES = enum.auto()
    DATABASE = enum.auto()
    ROLES = enum.auto()
    MIGRATIONS = enum.auto()
    POLICY = enum.auto()
    OUTSIDE = enum.auto()
    WORKLOADS = enum.auto()

    @property
    def title(self) -> str:
        """For people."""
        return _TITLES[self]


_TITLES = {
    Stage.DEFINITIONS: "custom resource definitions",
    Stage.NAMESPACES: "namespaces",
    Stage.GUARDS: "network policies, admission, access rights, configuration",
    Stage.SPIRE_SERVER: "SPIRE server",
    Stage.SPIRE_AGENT: "SPIRE agent and CSI driver",
    Stage.IDENTITIES: "identities",
    Stage.DATABASE: "PostgreSQL",
    Stage.ROLES: "database roles",
    Stage.MIGRATIONS: "migrations",
    Stage.POLICY: "bundle server",
    Stage.OUTSIDE: "stand-ins for the providers",
    Stage.WORKLOADS: "workloads",
}

_CONTROLLERS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"})
_ADMISSION = frozenset({"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"})
_IDENTITY_GROUP = "spire.spiffe.io/"

# Within a stage: what others refer to comes first.
_FIRST = (
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "NetworkPolicy",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ConfigMap",
    "Service",
)


def stage_of(value: Object) -> Stage:
    """When an object is applied."""
    kind, component = value["kind"], label(value, COMPONENT)
    if kind == "CustomResourceDefinition":
        return Stage.DEFINITIONS
    if kind == "Namespace":
        return Stage.NAMESPACES
    if value["apiVersion"].startswith(_IDENTITY_GROUP):
        return Stage.IDENTITIES
    if kind not in _CONTROLLERS:
        return Stage.GUARDS
    return _controller_stage(kind, component, value["metadata"]["name"])


def _controller_stage(kind: str, component: str, name: str) -> Stage:
    if component == "spire":
        return Stage.SPIRE_AGENT if kind == "DaemonSet" else Stage.SPIRE_SERVER
    if kind == "Job":
        return Stage.MIGRATIONS if name.startswith("migrate-") else Stage.ROLES
    if component == "platform":
        return Stage.DATABASE if kind == "StatefulSet" else Stage.POLICY
    return Stage.OUTSIDE if component == "outside" else Stage.WORKLOADS


def is_admission(value: Object) -> bool:
    """Whether it says which pods may start."""
    return value["kind"] in _ADMISSION


def in_stages(
    objects: Iterable[Object], standing: Container[Key] = frozenset()
) -> dict[Stage, list[Object]]:
    """Every stage in order, empty ones too, with its objects in the order of `apply`.

    Args:
        objects: of a build.
        standing: admission policies and bindings that the cluster has already. They change
            together with the workloads that they allow: a pod of the templates before that
            has to be made again meanwhile would be refused by the new ones. On a first
            deployment they are there before any pod.
    """
    found: dict[Stage, list[Object]] = {stage: [] for stage in Stage}
    for value in objects:
        is_late = is_admission(value) and key(value) in standing
        found[Stage.WORKLOADS if is_late else stage_of(value)].append(value)
    return {stage: sorted(values, key=_order) for stage, values in found.items()}


def _order(value: Object) -> tuple[int, str, str, str]:
    kind = value["kind"]
    rank = _FIRST.index(kind) if kind in _FIRST else len(_FIRST)
    metadata = value["metadata"]
    return rank, kind, metadata.get("namespace", ""), metadata["name"]
