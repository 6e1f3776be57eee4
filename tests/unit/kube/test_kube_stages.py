"""What comes when in a deployment."""

from __future__ import annotations

import pytest
from kube_fakes import made

from paymesh.kube.objects import key
from paymesh.kube.stages import Stage, in_stages, stage_of

_COMPONENT = "app.kubernetes.io/component"


@pytest.mark.parametrize(
    ("kind", "component", "name", "stage"),
    [
        ("CustomResourceDefinition", "spire", "x", Stage.DEFINITIONS),
        ("Namespace", "", "x", Stage.NAMESPACES),
        ("NetworkPolicy", "workload", "x", Stage.GUARDS),
        ("ClusterRole", "spire", "x", Stage.GUARDS),
        ("ConfigMap", "workload", "x", Stage.GUARDS),
        ("StatefulSet", "spire", "spire-server", Stage.SPIRE_SERVER),
        ("DaemonSet", "spire", "spire-agent", Stage.SPIRE_AGENT),
        ("ClusterSPIFFEID", "workload", "x", Stage.IDENTITIES),
        ("StatefulSet", "platform", "postgres", Stage.DATABASE),
        ("Job", "platform", "postgres-roles", Stage.ROLES),
        ("Job", "platform", "migrate-ledger", Stage.MIGRATIONS),
        ("Deployment", "platform", "bundle-server", Stage.POLICY),
        ("Deployment", "outside", "simulators", Stage.OUTSIDE),
        ("Deployment", "workload", "ledger", Stage.WORKLOADS),
        ("CronJob", "workload", "statements", Stage.WORKLOADS),
    ],
)
def test_each_object_has_its_stage(kind: str, component: str, name: str, stage: Stage) -> None:
    """Kind, component and name say when an object is applied."""
    value = made(kind, name, metadata={"labels": {_COMPONENT: component}})
    assert stage_of(value) is stage


def test_stages_are_in_order_whatever_the_build_says() -> None:
    """The order of a build changes nothing; nothing is lost and every stage is there."""
    values = [made("Deployment", n) for n in "ab"] + [made("NetworkPolicy", n) for n in "dc"]
    found = in_stages([values[i] for i in (2, 0, 3, 1)])
    assert list(found) == list(Stage)
    assert found == in_stages(values)
    assert [v["metadata"]["name"] for v in found[Stage.GUARDS]] == ["c", "d"]
    assert sum(len(part) for part in found.values()) == len(values)


def test_what_guards_comes_before_what_runs() -> None:
    """No pod starts before the policies that hold for it are there."""
    running = [s for s in Stage if s not in {Stage.DEFINITIONS, Stage.NAMESPACES, Stage.GUARDS}]
    assert all(stage > Stage.GUARDS for stage in running)
    guards = in_stages(
        [made("Service", "s"), made("NetworkPolicy", "n"), made("ServiceAccount", "a")]
    )
    kinds = [value["kind"] for value in guards[Stage.GUARDS]]
    assert kinds == ["ServiceAccount", "NetworkPolicy", "Service"]


@pytest.mark.parametrize("kind", ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"])
def test_a_changed_admission_policy_comes_with_the_pods_that_it_allows(kind: str) -> None:
    """Just before them; on a first deployment it is there before any pod."""
    policy, workload = made(kind, "pods", ""), made("CronJob", "statements")
    first = in_stages([workload, policy])
    assert first[Stage.GUARDS] == [policy]
    assert first[Stage.WORKLOADS] == [workload]
    again = in_stages([workload, policy], {key(policy), key(workload)})
    assert again[Stage.GUARDS] == []
    assert again[Stage.WORKLOADS] == [policy, workload]
