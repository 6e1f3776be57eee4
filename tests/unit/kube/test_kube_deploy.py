"""What a deployment puts where, and before which clusters it stops."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from kube_fakes import FakeCluster, Said, made
from typer.testing import CliRunner

from paymesh import images
from paymesh.checks.kube import cluster as cluster_checks
from paymesh.cli import clusters
from paymesh.cli import deploy as command
from paymesh.cli import kind as kind_command
from paymesh.errors import ConfigError
from paymesh.kube import deploy, kind, kustomize, undeploy
from paymesh.kube.errors import ClusterError
from paymesh.kube.home import ensure_home, remember_cluster, require_cluster
from paymesh.kube.objects import Object, decoded, key
from paymesh.kube.site import Site
from paymesh.kube.strangers import refuse_strangers
from paymesh.mesh import load_mesh, repository_root
from paymesh.paths import Paths, default_paths

_FOREIGN = {"labels": {}}
_ROOT = repository_root()
_OVERLAYS = _ROOT / "deploy" / "k8s" / "overlays"
_POLICY = made("ValidatingAdmissionPolicy", "paymesh-pods", "")
_POLICY["apiVersion"] = "admissionregistration.k8s.io/v1"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty cluster."""
    paths = Paths(tmp_path / "home", tmp_path / "cache")
    cluster: Any = FakeCluster()
    return Site(cluster, load_mesh(port_offset=0), ensure_home(paths, "fake"), paths, _ROOT, Said())


def _records(site: Site, **data: str) -> None:
    place = deploy.record_key(site)
    site.cluster.apply(made("ConfigMap", place.name, place.namespace, data=data))


def test_without_an_overlay_a_cluster_keeps_the_one_that_it_has(site: Site) -> None:
    """`kind` only where there is none: over production it would put stand-ins."""
    assert deploy.overlay_for(site, None) == _OVERLAYS / "kind"
    _records(site, overlay="deploy/k8s/overlays/production")
    assert deploy.overlay_for(site, None) == _OVERLAYS / "production"
    assert deploy.overlay_for(site, "production") == _OVERLAYS / "production"
    assert deploy.overlay_for(site, str(_OVERLAYS / "production")) == _OVERLAYS / "production"


def test_another_overlay_is_refused_unless_that_is_asked_for(site: Site) -> None:
    """The sentence has both names."""
    _records(site, overlay="deploy/k8s/overlays/production")
    with pytest.raises(ConfigError, match=r"'production', not 'kind'.*--change-overlay"):
        deploy.overlay_for(site, "kind")
    assert deploy.overlay_for(site, "kind", change=True) == _OVERLAYS / "kind"


def test_an_overlay_that_is_not_here_is_named(site: Site) -> None:
    """Somebody else deployed it from his own directory."""
    _records(site, overlay="/nowhere/overlay")
    with pytest.raises(ConfigError, match=r"/nowhere/overlay, which is not there"):
        deploy.overlay_for(site, None)


def test_an_interrupted_deployment_goes_on_with_its_overlay(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written down with the namespaces; what came to its end before is still known."""
    _records(site, overlay="deploy/k8s/overlays/kind")
    built = [made("Namespace", "paymesh-platform", ""), made("ConfigMap", "stops-here")]
    monkeypatch.setattr(kustomize, "build", lambda _: built)
    monkeypatch.setattr(deploy, "keep", _Stops(deploy.keep))
    with pytest.raises(ClusterError, match="interrupted"):
        _run(site, "production")
    assert deploy.deployed_overlay(site) == "deploy/k8s/overlays/kind"
    assert deploy.overlay_for(site, None) == _OVERLAYS / "production"
    found = decoded(site.cluster.get(deploy.record_key(site)))
    assert set(found) == {"begun", "overlay"}


class _Stops:
    """`keep` until it is to make Secrets."""

    def __init__(self, before: Any) -> None:
        self.metadata = before.metadata

    def keep(self, *_: object) -> None:
        raise ClusterError("interrupted")


def _run(site: Site, overlay: str) -> None:
    run = deploy.Deployment(site, Path("pdp"), timeout_seconds=1)
    run.run(_OVERLAYS / overlay)


def test_a_standing_admission_policy_is_not_changed_early(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pods of the templates before it would be refused; a first one is there early."""
    monkeypatch.setattr(kustomize, "build", lambda _: [_POLICY])
    monkeypatch.setattr(deploy, "keep", _Stops(deploy.keep))
    for times in (1, 1):
        with pytest.raises(ClusterError, match="interrupted"):
            _run(site, "kind")
        fake: Any = site.cluster
        assert fake.calls.count(("apply", key(_POLICY))) == times


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (made("Namespace", "spire-server", "", metadata=_FOREIGN), "kubectl label namespace"),
        (made("CSIDriver", "csi.spiffe.io", "", metadata=_FOREIGN), "You already run SPIRE"),
        (
            made("CustomResourceDefinition", "x.spire.spiffe.io", "", metadata=_FOREIGN),
            "You already run SPIRE",
        ),
        (
            made("CustomResourceDefinition", "x.example.com", "", metadata=_FOREIGN),
            "somebody else's",
        ),
    ],
)
def test_nothing_of_others_is_taken(
    site: Site, monkeypatch: pytest.MonkeyPatch, theirs: Object, said: str
) -> None:
    """What is there once in a cluster and is not ours stops a deployment before it writes."""
    ours = made(theirs["kind"], theirs["metadata"]["name"], "")
    built = [made("Namespace", "paymesh", ""), ours]
    refuse_strangers(FakeCluster(*built), built)
    refuse_strangers(FakeCluster(), built)
    fake = FakeCluster(theirs)
    site = Site(fake, site.mesh, site.home, site.paths, site.root, site.progress)
    monkeypatch.setattr(kustomize, "build", lambda _: built)
    with pytest.raises(ClusterError, match=said) as raised:
        _run(site, "kind")
    assert theirs["metadata"]["name"] in str(raised.value)
    assert fake.calls == []


class _Version(FakeCluster):
    def __init__(self, minor: int) -> None:
        super().__init__()
        self._minor = minor

    def version(self) -> tuple[int, int]:
        return 1, self._minor


_AGENT = made("DaemonSet", "spire-agent", "spire-system")
_OTHER = made("DaemonSet", "node-exporter", "spire-system")


@pytest.mark.parametrize(
    ("built", "enough", "reason"),
    [([_AGENT, _OTHER], 33, "SPIRE agent"), ([_OTHER], 30, "sidecars"), ([], 30, "sidecars")],
)
def test_a_cluster_is_as_new_as_its_build_needs(
    built: list[Object], enough: int, reason: str
) -> None:
    """`deploy` and `check` want the same: 1.33 with a SPIRE agent of ours, 1.30 without."""
    deploy.require_version(_Version(enough), built)
    with pytest.raises(ClusterError, match=rf"1\.{enough} or later is needed for.*{reason}"):
        deploy.require_version(_Version(enough - 1), built)
    for minor in (enough, enough - 1):
        finding = next(cluster_checks.check(_look(_Version(minor), built)))
        assert (finding.level == "ok") is (minor == enough)
        assert minor == enough or f"1.{enough} or later" in str(finding)


def _look(cluster: FakeCluster, built: list[Object]) -> Any:
    class Look:
        def built_of(self, *_: str) -> list[Object]:
            return []

    look: Any = Look()
    look.cluster, look.built = cluster, built
    return look


@pytest.mark.parametrize(
    ("arguments", "overlay", "change"),
    [([], None, False), (["--overlay", "production", "--change-overlay"], "production", True)],
)
def test_the_command_passes_on_what_it_was_told(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    overlay: str | None,
    change: bool,  # noqa: FBT001
) -> None:
    """An option that is left out stays left out."""
    asked = []

    def remembers(_: Site, wanted: str | None, *, change: bool) -> Path:
        asked.append((wanted, change))
        raise ConfigError("asked")

    monkeypatch.setattr(clusters, "site", lambda *_: site)
    monkeypatch.setattr(deploy, "overlay_for", remembers)
    app = typer.Typer()
    command.register(app)
    done = CliRunner().invoke(app, ["deploy", *arguments])
    assert isinstance(done.exception, ConfigError)
    assert asked == [(overlay, change)]


@pytest.mark.parametrize("made_now", [True, False])
def test_a_cluster_that_kind_makes_anew_gets_the_keys_of_its_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made_now: bool,  # noqa: FBT001
) -> None:
    """The one that had the name is gone: nobody has to move its keys. One that was there
    already is held to be the same.
    """
    monkeypatch.setenv("PAYMESH_HOME", str(tmp_path / "home"))
    home = ensure_home(default_paths(), "kind-paymesh")
    remember_cluster(home, "before")

    def stops(*_: object) -> None:
        raise ConfigError("far enough")

    for name, result in (("require_tools", "docker"), ("ensure_cluster", made_now)):
        monkeypatch.setattr(kind, name, lambda *_, result=result: result)
    monkeypatch.setattr(images, "find_engine", lambda *_: None)
    monkeypatch.setattr("paymesh.cli.kind.build_images", lambda *_: [])
    monkeypatch.setattr(kind, "load", stops)
    app = typer.Typer()
    kind_command.register(app)
    done = CliRunner().invoke(app, [])
    assert str(done.exception) == "far enough"
    if made_now:
        require_cluster(default_paths(), "kind-paymesh", "now")
    else:
        with pytest.raises(ConfigError, match="another cluster"):
            require_cluster(default_paths(), "kind-paymesh", "now")


def test_make_names_an_overlay_only_when_told() -> None:
    """Its default would be one more place to put the wrong one over production."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is missing")

    def said(*more: str) -> str:
        ran = [make, "-n", "deploy", "KUBECONTEXT=", *more]
        return subprocess.run(ran, cwd=_ROOT, check=True, capture_output=True, text=True).stdout

    assert "--overlay" not in said("OVERLAY=")
    assert '--overlay "production"' in said("OVERLAY=production")


def test_what_goes_is_said_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers say nothing to whoever is asked whether that may go."""
    objects = [
        made("Namespace", "paymesh", ""),
        made("Secret", "ledger"),
        made("ConfigMap", "envoy-ledger"),
        made("Secret", "theirs", metadata=_FOREIGN),
        made("ClusterRole", "paymesh-spire-agent", ""),
    ]
    wanted = undeploy.plan(FakeCluster(*objects), load_mesh(port_offset=0))
    command._tell(wanted, "fake")
    said = " ".join(capsys.readouterr().out.split())
    assert "of namespace paymesh, which stays for Secret paymesh/theirs" in said
    assert "data of Secret paymesh/ledger, for ever" in said
    assert "ConfigMap envoy-ledger" in said
    assert "ClusterRole paymesh-spire-agent" in said
