"""A cluster's local side, and whose mesh a cluster has."""

from __future__ import annotations

from pathlib import Path

import pytest
from kube_fakes import FakeCluster, Said, made

from paymesh.errors import ConfigError
from paymesh.kube import site as sites
from paymesh.kube.errors import Forbidden
from paymesh.kube.home import (
    cluster_paths,
    directory_name,
    ensure_home,
    forget_cluster,
    is_there,
    require_ours,
)
from paymesh.kube.objects import Key, Object
from paymesh.mesh import load_mesh
from paymesh.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Of a machine where nothing was ever brought up."""
    return Paths(tmp_path / "state" / "paymesh", tmp_path / "cache")


def test_plain_contexts_keep_their_name() -> None:
    """What people look for is what they find."""
    assert directory_name("kind-paymesh") == "kind-paymesh"


@pytest.mark.parametrize(
    "context",
    [
        "arn:aws:eks:eu-central-1:123456789012:cluster/pay",
        "../../etc",
        "a/b",
        "",
        ".",
        "..",
        "x" * 80,
    ],
)
def test_any_context_is_one_directory(context: str) -> None:
    """No character of a context leads out of the home."""
    name = directory_name(context)
    assert "/" not in name
    assert name not in {"", ".", ".."}
    assert not name.startswith(".")


def test_contexts_that_look_alike_stay_apart() -> None:
    """What is replaced by the same character differs in its digest."""
    assert len({directory_name(c) for c in ("a/b", "a:b", "a b", "a-b")}) == 4


def test_keys_are_made_once(paths: Paths) -> None:
    """A second call finds the first one's; two contexts have nothing in common."""
    assert not is_there(paths, "one")
    first = ensure_home(paths, "one")
    assert is_there(paths, "one")
    assert ensure_home(paths, "one").trust == first.trust
    other = ensure_home(paths, "two").trust
    assert all(other[name] != text for name, text in first.trust.items())


def test_what_enters_the_cluster_is_public(paths: Paths) -> None:
    """No private key is among the trust."""
    trust = ensure_home(paths, "one").trust
    assert set(trust) == {"bundle-key.pem", "jwks.json", "platform-ca.pem", "providers-ca.pem"}
    assert not any("PRIVATE" in text or '"d"' in text for text in trust.values())


def test_a_mesh_of_another_home_is_refused(paths: Paths) -> None:
    """Replacing its keys would lock its decision points out."""
    ours, theirs = ensure_home(paths, "one"), ensure_home(paths, "two")
    require_ours(ours, None, "one")
    require_ours(ours, made("ConfigMap", "paymesh-trust", data=ours.trust), "one")
    for name in ("bundle-key.pem", "platform-ca.pem"):
        data = {**ours.trust, name: theirs.trust[name]}
        with pytest.raises(ConfigError, match=rf"another home: its {name}"):
            require_ours(ours, made("ConfigMap", "paymesh-trust", data=data), "one")


def test_a_clusters_own_issuer_and_providers_are_its_business(paths: Paths) -> None:
    """They are meant to be replaced where it is for real."""
    ours = ensure_home(paths, "one")
    data = {**ours.trust, "jwks.json": "{}", "providers-ca.pem": "theirs"}
    require_ours(ours, made("ConfigMap", "paymesh-trust", data=data), "one")


def test_the_home_is_laid_out_as_on_one_machine(paths: Paths) -> None:
    """Tokens and the gateway's authority are found where they always are."""
    own = cluster_paths(paths, "one")
    ensure_home(paths, "one")
    assert (own.issuer / "key.pem").is_file()
    assert (own.home / "edge" / "ca.pem").is_file()


def _open(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, cluster: FakeCluster, said: Said | None = None
) -> sites.Site:
    monkeypatch.setattr(sites, "connect", lambda _: cluster)
    return sites.open_site(None, load_mesh(port_offset=0), paths, paths.home, said or Said())


def _cluster(uid: str) -> FakeCluster:
    return FakeCluster(made("Namespace", "kube-system", "", metadata={"uid": uid}))


def test_keys_belong_to_a_cluster_not_to_a_contexts_name(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same name for another cluster is stopped, with what to do, until its keys are out
    of the way or it is known that the other one is gone.
    """
    trust = _open(monkeypatch, paths, _cluster("one")).home.trust
    assert _open(monkeypatch, paths, _cluster("one")).home.trust == trust
    own = cluster_paths(paths, "fake").home
    with pytest.raises(ConfigError, match=r"'fake' now names another cluster.*rename") as raised:
        _open(monkeypatch, paths, _cluster("two"))
    assert str(own) in str(raised.value)
    own.rename(own.with_name("before"))
    other = _open(monkeypatch, paths, _cluster("two")).home.trust
    assert other["bundle-key.pem"] != trust["bundle-key.pem"]
    forget_cluster(paths, "fake")
    assert _open(monkeypatch, paths, _cluster("three")).home.trust == other
    with pytest.raises(ConfigError, match="another cluster"):
        _open(monkeypatch, paths, _cluster("two"))


def test_nothing_is_made_for_a_cluster_that_is_refused(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a missing key."""
    _open(monkeypatch, paths, _cluster("one"))
    key = cluster_paths(paths, "fake").secrets / "pki" / "bundle.key"
    key.unlink()
    with pytest.raises(ConfigError, match="another cluster"):
        _open(monkeypatch, paths, _cluster("two"))
    assert not key.exists()


def test_who_may_not_see_which_cluster_it_is_is_told(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who may only push policies still can; nothing is remembered."""

    class Closed(FakeCluster):
        def get(self, wanted: Key) -> Object:
            raise Forbidden(f"get {wanted}")

    said = Said()
    _open(monkeypatch, paths, Closed(), said)
    assert any("kube-system" in note for note in said.notes)
    _open(monkeypatch, paths, _cluster("one"))
