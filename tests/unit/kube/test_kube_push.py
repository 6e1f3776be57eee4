"""A signed policy into a cluster, and what check makes of what it finds."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import pytest
from kube_fakes import FakeCluster, Said

from paymesh.checks.kube.policy import not_enforced
from paymesh.errors import ConfigError, SetupError
from paymesh.kube import push
from paymesh.kube.decisions import Answer
from paymesh.kube.errors import ClusterError, Conflict, Stuck
from paymesh.kube.home import ensure_home
from paymesh.kube.objects import Object
from paymesh.kube.site import Site
from paymesh.mesh import load_mesh, repository_root
from paymesh.paths import Paths
from paymesh.policy import bundle, compiler, publisher
from paymesh.policy.bundle import BundleError

_FILES = {"paymesh/a.rego": b"package paymesh.a\n"}
_OLD, _NEW = "1700000000000-0123456789ab", "1800000000000-0123456789ab"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An empty cluster, and a compiler that takes everything."""

    async def compiles(_: Path, __: object) -> None:
        return None

    monkeypatch.setattr(publisher, "collect", lambda *_: dict(_FILES))
    monkeypatch.setattr(compiler, "compile_files", compiles)
    paths = Paths(tmp_path / "home", tmp_path / "cache")
    home = ensure_home(paths, "fake")
    mesh = load_mesh(port_offset=0)
    cluster: Any = FakeCluster()
    return Site(cluster, mesh, home, paths, repository_root(), Said())


def _stored(site: Site) -> Object:
    found = site.cluster.find(push.policy_key(site.mesh))
    assert found is not None
    return found


def _answers(*revisions: str | None) -> list[Answer]:
    return [Answer(f"pod-{i}", "ledger", revision) for i, revision in enumerate(revisions)]


def test_what_is_published_is_signed_and_named(site: Site) -> None:
    """The bundle verifies with this home's key; its revision stands beside it."""
    revision, changed = push.publish(site, Path("pdp"))
    assert changed
    found = push.published(_stored(site), site.home)
    assert found is not None
    assert (found.revision, found.files) == (revision, _FILES)
    assert _stored(site)["metadata"]["annotations"][push.REVISION] == revision


def test_the_same_policy_is_published_once(site: Site) -> None:
    """A second push writes nothing."""
    first = push.publish(site, Path("pdp"))
    before = _stored(site)
    assert push.publish(site, Path("pdp")) == (first[0], False)
    assert _stored(site) == before


def _revision(*, in_seconds: float) -> str:
    return f"{int((time.time() + in_seconds) * 1000):013d}-0123456789ab"


def test_revisions_only_grow(site: Site) -> None:
    """Also when the floor or another machine's clock is ahead by what clocks are."""
    ahead = _revision(in_seconds=3600)
    site.cluster.apply(push._floor(site.mesh, ahead))
    revision, _ = push.publish(site, Path("pdp"))
    assert revision > ahead


@pytest.mark.parametrize("stamp", ["9999999999998", "9999999999999"])
def test_nobody_uses_up_the_revisions_with_a_word(site: Site, stamp: str) -> None:
    """A stamp of a later day is refused with the name of the pod, and what to do; the answers
    of others do not stand in the way of that, and nothing is written.
    """
    push.publish(site, Path("pdp"))
    before = _stored(site)
    said = [Answer("fine", "ledger", None), Answer("ledger-7f", "ledger", f"{stamp}-0123456789ab")]
    with pytest.raises(ClusterError, match=r"delete pod ledger-7f") as raised:
        push.publish(site, Path("pdp"), said)
    assert f"pod paymesh/ledger-7f names policy revision {stamp}-" in str(raised.value)
    assert _stored(site) == before
    push.publish(site, Path("pdp"), said[:1])


def test_a_floor_of_a_later_day_is_refused(site: Site) -> None:
    """It names the ConfigMap; once that is gone, a push works again."""
    site.cluster.apply(push._floor(site.mesh, _revision(in_seconds=2 * 86_400)))
    with pytest.raises(ClusterError, match=r"paymesh delete configmap paymesh-policy-floor"):
        push.publish(site, Path("pdp"))
    site.cluster.delete(push.floor_key(site.mesh))
    push.publish(site, Path("pdp"))


def test_what_we_signed_is_believed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that was published while this clock was ahead does not block the next one."""
    later = time.time_ns() + 9 * 86_400 * 10**9
    with monkeypatch.context() as patched:
        patched.setattr(time, "time_ns", lambda: later)
        first, _ = push.publish(site, Path("pdp"))
    push.raise_floor(site, first)
    monkeypatch.setattr(publisher, "collect", lambda *_: {"paymesh/b.rego": b"x"})
    second, _ = push.publish(site, Path("pdp"), [Answer("a", "ledger", first)])
    assert second > first


def test_a_bundle_that_is_not_ours_is_replaced_by_a_later_one(site: Site) -> None:
    """What no decision point takes must not stand in the way of a good one."""
    first, _ = push.publish(site, Path("pdp"))
    damaged = _stored(site)
    damaged["binaryData"][bundle.FILE_NAME] = base64.b64encode(b"damaged").decode()
    site.cluster.replace(damaged)
    with pytest.raises(BundleError):
        push.published(_stored(site), site.home)
    second, changed = push.publish(site, Path("pdp"), _answers(first))
    assert changed
    assert second > first


def test_a_policy_that_was_set_back_is_published_anew(site: Site) -> None:
    """The checkout's own policy under a revision that decision points refuse is not good
    enough: it gets one that is later than what they or the floor have.
    """
    first, _ = push.publish(site, Path("pdp"))
    enforced = bundle.next_revision(_FILES, first, 0)
    second, changed = push.publish(site, Path("pdp"), _answers(None, enforced))
    assert changed
    assert second > enforced
    push.raise_floor(site, bundle.next_revision(_FILES, second, 0))
    third, changed = push.publish(site, Path("pdp"), _answers(second))
    assert changed
    assert third > second


def test_what_stands_beside_a_bundle_sets_no_revision(site: Site) -> None:
    """Whoever can write the object cannot use up the revisions with an annotation."""
    push.publish(site, Path("pdp"))
    marked = _stored(site)
    marked["metadata"]["annotations"][push.REVISION] = "9999999999999-0123456789ab"
    marked["binaryData"][bundle.FILE_NAME] = base64.b64encode(b"damaged").decode()
    site.cluster.replace(marked)
    revision, _ = push.publish(site, Path("pdp"))
    assert revision < "9999999999999"


def test_a_bundle_by_another_key_is_not_ours(site: Site) -> None:
    """The ConfigMap alone proves nothing."""
    other = ensure_home(site.paths, "another")
    push.publish(site, Path("pdp"))
    with pytest.raises(BundleError, match="not by the expected key"):
        push.published(_stored(site), other)
    assert push.published(None, other) is None


def test_what_does_not_compile_changes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a refused grant nor a refused line reaches the cluster."""
    push.publish(site, Path("pdp"))
    before = _stored(site)

    async def refuses(_: Path, __: object) -> None:
        raise SetupError("policies/ does not compile")

    monkeypatch.setattr(publisher, "collect", lambda *_: {"paymesh/b.rego": b"x"})
    monkeypatch.setattr(compiler, "compile_files", refuses)
    with pytest.raises(SetupError):
        push.publish(site, Path("pdp"))

    def refuses_grants(*_: object) -> None:
        raise ConfigError("neither granted nor closed")

    monkeypatch.setattr(publisher, "collect", refuses_grants)
    with pytest.raises(ConfigError):
        push.publish(site, Path("pdp"))
    assert _stored(site) == before


def test_two_at_once_do_not_overwrite_each_other(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later write is refused: somebody's policy would be lost unseen."""
    push.publish(site, Path("pdp"))

    async def another_pushes(_: Path, __: object) -> None:
        site.cluster.patch(push.policy_key(site.mesh), {"data": {"x": "y"}})

    monkeypatch.setattr(publisher, "collect", lambda *_: {"paymesh/b.rego": b"x"})
    monkeypatch.setattr(compiler, "compile_files", another_pushes)
    with pytest.raises(Conflict, match="somebody else has published"):
        push.publish(site, Path("pdp"))


def test_the_floor_is_what_was_enforced(site: Site) -> None:
    """Publishing alone does not raise it."""
    push.publish(site, Path("pdp"))
    assert push.floor_of(site.cluster.find(push.floor_key(site.mesh))) is None
    push.raise_floor(site, _NEW)
    assert push.floor_of(site.cluster.find(push.floor_key(site.mesh))) == _NEW


class _Points:
    """Decision points that answer from a list."""

    def __init__(self, *rounds: list[Answer]) -> None:
        self._rounds = list(rounds)

    def answers(self) -> list[Answer]:
        return self._rounds.pop(0) if len(self._rounds) > 1 else self._rounds[0]


def test_a_push_ends_when_the_last_one_follows(site: Site) -> None:
    """Not before."""
    old, new = Answer("a", "ledger", _OLD), Answer("a", "ledger", _NEW)
    points: Any = _Points([old, new], [old, new], [new, new])
    assert push.follow(site, points, _NEW, 5) == 2


def test_those_that_do_not_follow_are_named_with_the_reason(site: Site) -> None:
    """Each with what it says, and those that do are not named."""
    points: Any = _Points(
        [
            Answer("fine", "ledger", _NEW),
            Answer("late", "ledger", _OLD, refused="it does not verify"),
            Answer("gone", "ledger", None, "it cannot be asked: closed"),
        ]
    )
    with pytest.raises(Stuck) as raised:
        push.follow(site, points, _NEW, 0)
    text = str(raised.value)
    assert f"late: it still has {_OLD}; it cannot take another: it does not verify" in text
    assert "gone: it cannot be asked: closed" in text
    assert "fine" not in text


@pytest.mark.parametrize(
    ("revision", "published", "floor", "words"),
    [
        (_NEW, _NEW, _NEW, None),
        (_OLD, _NEW, _OLD, "still enforces"),
        (_NEW, _OLD, _OLD, "a policy was set back"),
        (_NEW, None, _NEW, None),
        (_OLD, None, _NEW, "is older than"),
        (None, _NEW, _NEW, "it has no policy"),
    ],
)
def test_check_says_what_is_wrong_with_a_revision(
    revision: str | None, published: str | None, floor: str, words: str | None
) -> None:
    """Late, set back and missing are different things to mend."""
    said = not_enforced(Answer("p", "ledger", revision), published, floor)
    assert (said is None) == (words is None)
    assert words is None or words in (said or "")
