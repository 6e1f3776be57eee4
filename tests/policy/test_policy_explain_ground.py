"""The policy that a decision is explained by: its own revision's, or the nearest there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paymesh.cli.main import _app
from paymesh.errors import ConfigError
from paymesh.paths import Paths
from paymesh.policy import bundle
from paymesh.policy.archive import Archive
from paymesh.policy.explain import explain, ground
from paymesh.policy.log import files
from paymesh.policy.log.records import Entry
from paymesh.runtime import pki

from .explained import PAYMENTS, REVIEWERS_FILE, REVISION, ROOT, Explainer, changed, said


@pytest.fixture
def home(tmp_path: Path, explainer: Explainer) -> Paths:
    """A home that was up: a signing key, one published bundle, the same in the archive."""
    paths = Paths(tmp_path / "home", tmp_path / "cache")
    for directory in (paths.secrets / "pki", paths.data / "bundles", paths.issuer):
        directory.mkdir(parents=True)
    key = pki.ensure_key(paths.secrets / "pki" / "bundle.key")
    built = bundle.build(explainer.files, REVISION, key)
    Archive(paths.policy_archive, key.public_key()).keep(built, REVIEWERS_FILE.read_bytes())
    bundle.publish(built, paths.data / "bundles")
    (paths.issuer / "jwks.json").write_text(explainer.environment["users"]["jwks"])
    return paths


def test_a_kept_revision_is_explained_by_its_own_files(home: Paths, explainer: Explainer) -> None:
    """The archive has the bundle and the reviewers' file of that moment."""
    found = ground.find(home, ROOT, REVISION)
    assert (found.source, found.is_exact) == ("archive", True)
    assert found.files == explainer.files
    assert found.reviewers_file == REVIEWERS_FILE.read_bytes()


def test_without_an_archive_the_published_bundle_serves(home: Paths) -> None:
    """If it is the revision that decided; lines are known if the file says the same."""
    for path in home.policy_archive.iterdir():
        path.unlink()
    found = ground.find(home, ROOT, REVISION)
    assert (found.source, found.is_exact) == ("published bundle", True)
    assert found.reviewers_file == REVIEWERS_FILE.read_bytes()


@pytest.mark.parametrize("revision", ["1795256000001-0123456789ab", "", "../../etc", "None"])
def test_a_revision_that_is_gone_is_explained_by_the_checkout_and_that_is_said(
    home: Paths, explainer: Explainer, revision: str
) -> None:
    """It may have been another policy: the same answer is no proof, another one no explanation."""
    entry = explainer.call("gateway", PAYMENTS + "RefundPayment", {}, explainer.token())
    found = ground.find(home, ROOT, revision)
    assert (found.source, found.is_exact) == ("checkout", False)
    explanation = _said_by(explainer, changed(entry, revision=revision), found)
    assert "is no longer kept" in explanation
    assert "may differ from it, gives the same answer" in explanation
    other = changed(entry, revision=revision, reason="OTHER_TENANT")
    assert "so it cannot say why" in _said_by(explainer, other, found)


def test_without_the_reviewers_file_the_grant_is_known_and_its_line_is_not(
    explainer: Explainer,
) -> None:
    """The bundle's index has who may call what; why and where stand in the file alone."""
    entry = explainer.call("gateway", PAYMENTS + "RefundPayment", {}, explainer.token())
    blind = ground.Ground(REVISION, explainer.files, None, "published bundle", REVISION)
    (nearest,) = explain(entry, blind, explainer.pdp).nearest
    assert (nearest.id, nearest.caller, nearest.why) == ("operator-refund-payment", "gateway", "")
    assert nearest.place == "policies/paymesh/grants/data.yaml"
    assert nearest.conditions[0].needs == ("the role operator",)


def _said_by(explainer: Explainer, entry: Entry, found: ground.Ground) -> str:
    """What is said by another policy."""
    return said(explain(entry, found, explainer.pdp))


def test_a_bundle_by_another_key_is_not_believed(home: Paths) -> None:
    """Neither from the archive nor as the published one."""
    key = home.secrets / "pki" / "bundle.key"
    key.unlink()
    pki.ensure_key(key)
    assert ground.find(home, ROOT, REVISION).source == "checkout"


def test_a_home_that_was_never_up_has_no_policy(tmp_path: Path) -> None:
    """A sentence says what to do."""
    with pytest.raises(ConfigError, match="paymesh up"):
        ground.find(Paths(tmp_path, tmp_path), ROOT, REVISION)


@pytest.fixture
def refused(home: Paths, explainer: Explainer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a decision on record in a home whose mesh is down."""
    entry = explainer.call("gateway", PAYMENTS + "RefundPayment", {}, explainer.token())
    directory = home.workload("payments")
    directory.mkdir(parents=True)
    (directory / files.NAME).write_bytes(entry.line + b"\n")
    monkeypatch.setenv("PAYMESH_HOME", str(home.home))
    return str(entry.record["decision_id"])


def test_the_command_explains_a_decision_by_the_beginning_of_its_id(refused: str) -> None:
    """In sentences on standard output."""
    result = CliRunner().invoke(_app, ["policy", "explain", refused[:8], "--trace"])
    assert result.exit_code == 0, result.output
    assert "✗ DENIED USER_ROLE_MISSING" in result.stdout
    assert "the policy of that revision gives the same answer" in result.stdout
    assert "→ decision := {" in result.stdout


def test_the_command_gives_all_facts_as_json(refused: str) -> None:
    """For programs: the same facts by name."""
    result = CliRunner().invoke(_app, ["policy", "explain", refused, "-o", "json"])
    found = json.loads(result.stdout)
    assert found["decision_id"] == refused
    assert found["remedies"] == [
        {"changes": ["the role operator"], "by": "operator-refund-payment"}
    ]
    assert found["policy"] == {"revision": REVISION, "source": "archive", "exact": True}


@pytest.mark.usefixtures("refused")
def test_the_command_says_when_there_is_no_such_decision() -> None:
    """One sentence, exit code 1."""
    result = CliRunner().invoke(_app, ["policy", "explain", "ffffffff"])
    assert isinstance(result.exception, ConfigError)
    assert "no decision log has a decision 'ffffffff'" in str(result.exception)
