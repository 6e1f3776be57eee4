"""Applying, Jobs that run again, pods that follow their Secrets, and pruning."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from kube_fakes import FakeCluster, Said, made

from paymesh.kube import apply
from paymesh.kube.errors import Conflict
from paymesh.kube.objects import Object, key, pod_template
from paymesh.kube.wait import Deadline

_VOLUME = {"secret": {"secretName": "ledger", "items": [{"key": "dsn", "path": "dsn"}]}}


def _deployment() -> Object:
    template = {"metadata": {}, "spec": {"containers": [], "volumes": [_VOLUME]}}
    return made("Deployment", "ledger", spec={"replicas": 2, "template": template})


def _contents(dsn: bytes, other: bytes = b"") -> Any:
    return {("Secret", ("paymesh", "ledger")): {"dsn": dsn, "pdp-token": other}}


def test_somebody_elses_field_is_not_taken_silently() -> None:
    """The text names who and what to do; --take-over does it."""
    value = _deployment()
    cluster = FakeCluster(value)
    cluster.managers[key(value)] = "kubectl-edit"
    with pytest.raises(Conflict, match=r"kubectl-edit.*--take-over"):
        apply.apply(cluster, value)
    apply.apply(cluster, value, take_over=True)


def test_our_own_earlier_writes_are_no_conflict() -> None:
    """The same manager by another operation is still us."""
    value = _deployment()
    cluster = FakeCluster(value)
    cluster.managers[key(value)] = "paymesh"
    apply.apply(cluster, value)


def test_a_job_runs_once_for_the_same_work() -> None:
    """Complete with the same template and inputs: left alone; anything else: made again."""
    job = made("Job", "migrate-ledger", spec={"template": {"spec": {"containers": []}}})
    cluster = FakeCluster()
    apply.apply_job(cluster, job, "stamp", Said(), Deadline(5))
    stored = cluster.get(key(job))
    stored["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    cluster.objects[key(job)] = stored
    cluster.calls.clear()
    apply.apply_job(cluster, job, "stamp", Said(), Deadline(5))
    assert cluster.calls == []
    apply.apply_job(cluster, job, "another", Said(), Deadline(5))
    assert [call for call, _ in cluster.calls] == ["delete", "apply"]
    cluster.calls.clear()
    # The one that was just made has not completed: it may have failed.
    apply.apply_job(cluster, job, "another", Said(), Deadline(5))
    assert [call for call, _ in cluster.calls] == ["delete", "apply"]


def test_pods_follow_the_secrets_that_they_refer_to() -> None:
    """A key that they use changes the template; one that they do not use, does not."""
    value = _deployment()
    before = copy.deepcopy(value)
    one = apply.with_inputs(value, _contents(b"1"))
    assert value == before
    assert one != value
    assert one == apply.with_inputs(value, _contents(b"1", other=b"changed"))
    assert one != apply.with_inputs(value, _contents(b"2"))
    note = pod_template(one)["metadata"]["annotations"][apply.INPUTS]
    assert len(note) == 16


def test_objects_without_pods_and_without_secrets_of_ours_stay() -> None:
    """Nothing is added where nothing is referred to."""
    service = made("Service", "ledger")
    assert apply.with_inputs(service, _contents(b"1")) is service
    assert apply.with_inputs(_deployment(), {}) == _deployment()


def _left_over(**metadata: Any) -> bool:
    value = made("ConfigMap", metadata.pop("name", "old-abc123"), metadata=metadata)
    return apply.is_left_over(value, {("ConfigMap", "paymesh", "new")}, frozenset({"paymesh"}))


def test_what_the_build_has_no_longer_is_left_over() -> None:
    """If a deployment applied it, in a namespace of ours."""
    assert _left_over()
    assert not _left_over(name="new")


@pytest.mark.parametrize(
    "metadata",
    [
        {"managedFields": [{"manager": "kubectl", "operation": "Apply"}]},
        {"managedFields": [{"manager": "paymesh", "operation": "Update"}]},
        {"managedFields": []},
        {"namespace": "elsewhere"},
        {"ownerReferences": [{"name": "x"}]},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"name": "paymesh-trust"},
        {"name": "paymesh-policy"},
        {"name": "paymesh-policy-floor"},
        {"name": "paymesh-deployment"},
    ],
)
def test_what_is_not_a_builds_own_is_kept(metadata: dict[str, Any]) -> None:
    """Others' objects, other namespaces, and what deployments keep themselves."""
    assert not _left_over(**metadata)


def test_pruning_never_touches_what_cannot_be_made_again() -> None:
    """Namespaces, definitions, volumes and Secrets are in no list."""
    kinds = {kind for _, kind in apply.PRUNED}
    assert not kinds & {
        "Namespace",
        "CustomResourceDefinition",
        "PersistentVolumeClaim",
        "PersistentVolume",
        "Secret",
    }
    cluster = FakeCluster(made("Secret", "old"), made("ConfigMap", "old"), made("Service", "new"))
    removed = apply.prune(cluster, [made("Service", "new")], ["paymesh"])
    assert [str(place) for place in removed] == ["ConfigMap paymesh/old"]
