"""kind clusters, with programs on PATH that stand for kind and the container engines."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_fakes import FakeCluster, Said, made
from typer.testing import CliRunner

from paymesh.cli import main
from paymesh.errors import SetupError
from paymesh.kube import kind, wait
from paymesh.kube.deploy import record_key
from paymesh.kube.home import ensure_home
from paymesh.kube.site import Site
from paymesh.mesh import load_mesh, repository_root
from paymesh.paths import Paths

_CONFIGURATION = repository_root() / "deploy" / "kind" / "cluster.yaml"

# Keeps its clusters in a file, and what it was asked in another. What `create` is to do besides
# making the cluster stands in a third.
_KIND = """#!{python}
import json, os, pathlib, signal, sys, time
here = pathlib.Path({here!r})
words = sys.argv[1:]
with (here / "asked").open("a") as file:
    file.write(json.dumps([os.environ.get("KIND_EXPERIMENTAL_PROVIDER"), *words]) + "\\n")
clusters = here / "clusters"
names = clusters.read_text().split()
if words[:2] == ["get", "clusters"]:
    print("\\n".join(names))
elif words[:2] == ["create", "cluster"]:
    how = (here / "create").read_text()
    if how == "taken":
        sys.exit("ERROR: node(s) already exist for a cluster with the name")
    clusters.write_text("\\n".join([*names, words[3]]))
    if how == "fails":
        sys.exit("ERROR: failed to init node with kubeadm")
    if how == "hangs":
        time.sleep(60)
    if how == "interrupted":
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
elif words[:2] == ["delete", "cluster"]:
    if (here / "create").read_text() == "fails" and (here / "stays").exists():
        sys.exit("ERROR: cannot delete")
    clusters.write_text("\\n".join(name for name in names if name != words[3]))
"""


class _Programs:
    """A directory that is all of PATH."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, text in (("clusters", ""), ("create", "works"), ("asked", "")):
            (directory / name).write_text(text)

    def add(self, name: str, text: str) -> None:
        """One program."""
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o755)

    def engine(self, name: str, *, works: bool = True) -> None:
        """A container engine."""
        self.add(
            name, f"#!/bin/sh\n[ {int(works)} = 1 ] || {{ echo {name} is down >&2; exit 1; }}\n"
        )

    def creation(self, how: str) -> None:
        """What becomes of the next one."""
        (self.directory / "create").write_text(how)

    @property
    def asked(self) -> list[list[str]]:
        """What kind was asked: its provider and arguments."""
        return [json.loads(line) for line in (self.directory / "asked").read_text().splitlines()]

    @property
    def clusters(self) -> list[str]:
        """What there is now."""
        return (self.directory / "clusters").read_text().split()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Programs:
    """Kind and kubectl; engines are for the tests to add."""
    directory = tmp_path / "bin"
    directory.mkdir()
    found = _Programs(directory)
    found.add("kind", _KIND.format(python=sys.executable, here=str(directory)))
    found.add("kubectl", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    return found


@pytest.mark.parametrize("missing", ["kind", "kubectl"])
def test_a_missing_program_is_named(programs: _Programs, missing: str) -> None:
    """With where it comes from, and what works without it."""
    programs.engine("docker")
    (programs.directory / missing).unlink()
    with pytest.raises(SetupError, match=rf"^{missing} is not on PATH: install it from https") as e:
        kind.require_tools()
    assert "paymesh deploy --context" in str(e.value)


@pytest.mark.parametrize(
    ("engines", "preferred", "expected"),
    [
        (["docker", "podman"], None, "docker"),
        (["podman"], None, "podman"),
        (["docker", "podman"], "podman", "podman"),
        (["docker", "podman", "buildah"], "buildah", "docker"),
    ],
)
def test_nodes_run_in_docker_or_podman(
    programs: _Programs, engines: list[str], preferred: str | None, expected: str
) -> None:
    """The one asked for, or the first that works; an engine of images only is passed over."""
    for name in engines:
        programs.engine(name)
    assert kind.require_tools(preferred) == expected


def test_kinds_own_variable_decides(programs: _Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has set it has clusters there."""
    programs.engine("docker")
    programs.engine("podman")
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", "podman")
    assert kind.require_tools("docker") == "podman"


def test_an_engine_that_is_down_is_passed_over(programs: _Programs) -> None:
    """Docker's client without its daemon runs nothing."""
    programs.engine("docker", works=False)
    programs.engine("podman")
    assert kind.require_tools() == "podman"
    with pytest.raises(SetupError, match="docker: docker is down"):
        kind.require_tools("docker")


def test_with_buildah_alone_nothing_is_built(programs: _Programs) -> None:
    """kind-up ends before the first image: minutes later it would fail for the same reason."""
    programs.engine("buildah")
    done = CliRunner().invoke(main._app, ["kind-up"])
    assert done.exit_code != 0
    assert isinstance(done.exception, SetupError)
    assert "nodes run in docker or podman" in str(done.exception)
    assert "(docker: it is missing; podman: it is missing)" in str(done.exception)
    assert programs.asked == []


def test_kind_up_builds_on_the_base_that_is_asked_for(
    programs: _Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PAYMESH_PYTHON_IMAGE holds for kind-up as it does for images."""
    programs.engine("docker")
    bases: list[str | None] = []

    def build_images(_: object, __: Path, python_image: str | None) -> list[Path]:
        bases.append(python_image)
        raise SetupError("far enough")

    monkeypatch.setattr("paymesh.cli.kind.build_images", build_images)
    monkeypatch.setenv("PAYMESH_PYTHON_IMAGE", "registry.example/python:3.11")
    CliRunner().invoke(main._app, ["kind-up"])
    monkeypatch.delenv("PAYMESH_PYTHON_IMAGE")
    CliRunner().invoke(main._app, ["kind-up"])
    assert bases == ["registry.example/python:3.11", None]


def test_a_cluster_is_made_once(programs: _Programs) -> None:
    """Then its kubeconfig is written; the nodes' engine is always said, as another may be meant
    by the environment.
    """
    configured = ["--config", str(_CONFIGURATION)]
    assert kind.ensure_cluster("a", _CONFIGURATION, "docker")
    assert not kind.ensure_cluster("a", _CONFIGURATION, "docker")
    kind.load("a", [Path("x.tar")], "podman")
    assert programs.asked == [
        ["docker", "get", "clusters"],
        ["docker", "create", "cluster", "--name", "a", *configured, "--wait", "120s"],
        ["docker", "get", "clusters"],
        ["docker", "export", "kubeconfig", "--name", "a"],
        ["podman", "load", "image-archive", "x.tar", "--name", "a"],
    ]


def _interrupt(_: int, __: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("how", "raised"),
    [("fails", SetupError), ("hangs", SetupError), ("interrupted", KeyboardInterrupt)],
)
def test_half_a_cluster_is_removed(
    programs: _Programs,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    raised: type[BaseException],
) -> None:
    """Whatever ends its creation, the next run makes a whole one; others stay."""
    kind.ensure_cluster("other", _CONFIGURATION, "docker")
    programs.creation(how)
    monkeypatch.setattr(kind, "_CREATE_SECONDS", 1 if how == "hangs" else 60)
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        with pytest.raises(raised):
            kind.ensure_cluster("a", _CONFIGURATION, "docker")
    finally:
        signal.signal(signal.SIGINT, before)
    assert programs.clusters == ["other"]
    programs.creation("works")
    assert kind.ensure_cluster("a", _CONFIGURATION, "docker")


def test_somebody_elses_cluster_is_not_removed(programs: _Programs) -> None:
    """One of the name that came into being meanwhile is not ours to delete."""
    programs.creation("taken")
    with pytest.raises(SetupError, match="already exist"):
        kind.ensure_cluster("a", _CONFIGURATION, "docker")
    assert "delete" not in {words[1] for words in programs.asked}


def test_what_cannot_be_removed_is_said(programs: _Programs) -> None:
    """With why there is something to remove, and the command."""
    programs.creation("fails")
    (programs.directory / "stays").touch()
    with pytest.raises(SetupError, match=r"kubeadm.*cannot delete: run `kind delete cluster"):
        kind.ensure_cluster("a", _CONFIGURATION, "docker")


def test_the_nodes_kubernetes_is_pinned() -> None:
    """A kind of another age does not decide what the mesh runs on."""
    (node,) = yaml.safe_load(_CONFIGURATION.read_text("utf-8"))["nodes"]
    assert "/kindest/node:v1.34." in node["image"]
    assert "@sha256:" in node["image"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A mesh that is deployed: a pod of ours, and one with an image of another's."""
    monkeypatch.setattr(wait, "rollouts", lambda *_: None)
    paths = Paths(tmp_path / "home", tmp_path / "cache")
    mesh = load_mesh(port_offset=0)
    cluster: Any = FakeCluster(
        made("Deployment", "ledger", spec=_pods("paymesh.internal/services:0.1.0")),
        made("Deployment", "gateway", spec=_pods("docker.io/envoyproxy/envoy:v1")),
    )
    found = Site(cluster, mesh, ensure_home(paths, "fake"), paths, repository_root(), Said())
    record = record_key(found)
    cluster.create(made("ConfigMap", record.name, record.namespace, data={"overlay": "x"}))
    return found


def _pods(image: str) -> dict[str, Any]:
    return {"template": {"metadata": {}, "spec": {"containers": [{"name": "app", "image": image}]}}}


def test_pods_restart_onto_images_with_other_contents(site: Site) -> None:
    """Ours only, and only when the contents differ from those of the last time: the first time
    they were just deployed.
    """
    assert kind.restart_onto(site, "one", 1) == []
    assert kind.restart_onto(site, "one", 1) == []
    assert kind.restart_onto(site, "two", 1) == ["ledger"]
    assert kind.restart_onto(site, "two", 1) == []
    templates = {
        value["metadata"]["name"]: value["spec"]["template"]["metadata"]
        for value in site.cluster.items("apps/v1", "Deployment", site.mesh.namespace)
    }
    assert list(templates["ledger"]["annotations"]) == ["paymesh.internal/restarted-at"]
    assert "annotations" not in templates["gateway"]


def test_without_a_deployment_nothing_is_remembered(site: Site) -> None:
    """The record belongs to the deployment."""
    site.cluster.delete(record_key(site))
    assert kind.restart_onto(site, "one", 1) == []
    assert site.cluster.find(record_key(site)) is None


def test_a_failed_rollout_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contents count as running only when the pods are up."""
    kind.restart_onto(site, "one", 1)
    with monkeypatch.context() as patched:
        patched.setattr(wait, "rollouts", _refuses)
        with pytest.raises(SetupError):
            kind.restart_onto(site, "two", 1)
    assert kind.restart_onto(site, "two", 1) == ["ledger"]


def _refuses(*_: object) -> None:
    raise SetupError("they do not come up")


def test_a_digest_is_of_contents(tmp_path: Path) -> None:
    """Neither the directory nor the order counts; a changed byte does."""
    first, second = tmp_path / "a.tar", tmp_path / "b.tar"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    before = kind.digest_of([first, second])
    assert kind.digest_of([second, first]) == before
    second.write_bytes(b"3")
    assert kind.digest_of([first, second]) != before
