"""What compiles is published, what does not is not, and the status file says so."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from paymesh.errors import SetupError
from paymesh.policy import bundle, compiler, edits, publisher
from paymesh.policy.archive import Archive
from paymesh.policy.bench.site import Site
from paymesh.policy.compiler import compile_files


def published(settings: publisher.Settings) -> bundle.Bundle:
    """The bundle that is in force."""
    found = bundle.published(settings.directory, settings.key.public_key())
    assert found is not None
    return found


def edit(path: Path, change: Callable[[str], str]) -> None:
    """Saves a changed file, as an editor does."""
    path.write_text(change(path.read_text()))


async def test_what_compiles_is_published(settings: publisher.Settings) -> None:
    """The status is ok and names the revision of a bundle that verifies."""
    status = await publisher.publish_once(settings)
    assert (status.state, status.problem) == ("ok", "")
    assert status.revision == published(settings).revision
    assert publisher.read_status(settings.status_file) == status


async def test_the_status_file_has_the_four_fields(settings: publisher.Settings) -> None:
    """Programs read it: state, revision, problem and an RFC 3339 time."""
    assert publisher.read_status(settings.status_file) is None
    status = await publisher.publish_once(settings)
    assert json.loads(settings.status_file.read_text()) == dataclasses.asdict(status)
    assert set(dataclasses.asdict(status)) == {"state", "revision", "problem", "time"}
    assert time.strptime(status.time[:19], "%Y-%m-%dT%H:%M:%S")
    assert status.time.endswith("Z")


async def test_nothing_new_is_nothing_published(settings: publisher.Settings) -> None:
    """A second run, or an edit of a comment in a test, leaves revision and bytes alone."""
    first = await publisher.publish_once(settings)
    before = published(settings)
    edit(settings.policies / "paymesh/authz/token_test.rego", lambda text: text + "# more\n")
    assert (await publisher.publish_once(settings)).revision == first.revision
    assert published(settings) == before


REFUSED: dict[str, tuple[str, Callable[[str], str], str]] = {
    "a syntax error": ("paymesh/authz/token.rego", lambda t: t + "\nrule if {", "does not compile"),
    "an unknown name": ("paymesh/authz/token.rego", lambda t: t + "\na := b\n", "token.rego"),
    "against the strict compiler": (
        "paymesh/authz/token.rego",
        lambda t: t + "\na if {\n\tunused := 1\n}\n",
        "unused",
    ),
    "a condition that does not exist": (
        "paymesh/grants/data.yaml",
        lambda t: t.replace("[user_is_customer]", "[user_is_custmer]"),
        "there is no condition 'user_is_custmer'",
    ),
    "an RPC without a grant": (
        "paymesh/grants/data.yaml",
        lambda t: t.replace("ListEntries", "ListNothing"),
        "/paymesh.ledger.v1.LedgerService/ListEntries is neither granted nor closed",
    ),
    "no YAML": ("paymesh/grants/data.yaml", lambda _: "grants: [}", "data.yaml is not YAML"),
    "a key twice": (
        "paymesh/grants/data.yaml",
        lambda t: t.replace(
            "    caller: gateway\n", "    caller: ledger\n    caller: gateway\n", 1
        ),
        "the key 'caller' stands twice",
    ),
    "a date for a reason": (
        "paymesh/grants/data.yaml",
        lambda t: t.replace(
            "why: Customers pay; how much at once is in limits below.", "why: 2026-01-01"
        ),
        "why datetime.date(2026, 1, 1) is no text",
    ),
    "what JSON has no word for": (
        "paymesh/grants/data.yaml",
        lambda t: t.replace("refund: {EUR: 1000000", "refund: {EUR: .inf"),
        "holds what JSON cannot",
    ),
    "a rule that is gone": (
        "paymesh/authz/conditions.rego",
        lambda t: t.replace('condition["no_user"]', 'condition["nobody"]'),
        "there is no condition 'no_user'",
    ),
}


@pytest.mark.parametrize(("name", "change", "problem"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_wrong_is_not_published(
    settings: publisher.Settings, name: str, change: Callable[[str], str], problem: str
) -> None:
    """The bundle before stays in force, the status says what is wrong, and mending it is enough."""
    first = await publisher.publish_once(settings)
    before = published(settings)
    path = settings.policies / name
    good = path.read_text()
    edit(path, change)
    status = await publisher.publish_once(settings)
    assert (status.state, status.revision) == ("refused", first.revision)
    assert problem in status.problem
    assert published(settings) == before
    path.write_text(good)
    assert (await publisher.publish_once(settings)).state == "ok"


async def test_what_is_published_is_in_the_archive_first(
    settings: publisher.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reviewers' file as it was written; what cannot be kept is not published."""
    path = settings.policies / "paymesh/grants/data.yaml"
    archive = Archive(settings.archive, settings.key.public_key())
    first = await publisher.publish_once(settings)
    written = path.read_bytes()
    edit(path, lambda text: "# of later\n" + text.replace("Customers pay;", "They pay;"))
    edit(path, lambda text: text.replace("id: user-get-payment", "id: user-reads-payment"))
    second = await publisher.publish_once(settings)
    assert archive.revisions() == [first.revision, second.revision]
    for status, text in ((first, written), (second, path.read_bytes())):
        kept = archive.find(status.revision or "")
        assert kept is not None
        assert kept.grants == text
    before = published(settings)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Archive, "keep", full)
    edit(path, lambda text: text.replace("id: user-reads-payment", "id: user-sees-payment"))
    third = await publisher.publish_once(settings)
    assert (third.state, third.revision) == ("refused", second.revision)
    assert "No space left" in third.problem
    assert published(settings) == before


async def test_refused_policies_are_not_in_the_archive(settings: publisher.Settings) -> None:
    """It holds what was in force, and nothing else."""
    first = await publisher.publish_once(settings)
    edit(settings.policies / "paymesh/authz/token.rego", lambda text: text + "\nrule if {")
    await publisher.publish_once(settings)
    archive = Archive(settings.archive, settings.key.public_key())
    assert archive.revisions() == [first.revision]


async def test_an_editors_own_files_are_left_out(settings: publisher.Settings) -> None:
    """While somebody edits a file the policy is published as if nobody did."""
    first = await publisher.publish_once(settings)
    grants = settings.policies / "paymesh/grants"
    for name in (".data.yaml.swp", "data.yaml~", "#data.yaml#", ".hidden.rego"):
        (grants / name).write_text("rule if {")
    (grants / ".#data.yaml").symlink_to("nobody@nowhere.1:2")
    status = await publisher.publish_once(settings)
    assert (status.state, status.revision) == ("ok", first.revision)


async def test_what_nobody_foresaw_is_a_refusal(
    settings: publisher.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever publishes is the supervisor: no file may end it."""

    def fail(*_: object) -> None:
        raise RuntimeError("as never before")

    monkeypatch.setattr(publisher.coverage, "check", fail)
    status = await publisher.publish_once(settings)
    assert status.state == "refused"
    assert "as never before" in status.problem


async def test_what_was_saved_meanwhile_is_not_published_half(
    settings: publisher.Settings,
) -> None:
    """What was read while somebody was still saving is dropped, good or bad."""
    one = publisher.Publisher(settings, functools.partial(compile_files, settings.pdp))

    async def unsettled() -> bool:
        return False

    assert await one.publish_if(unsettled) is None
    assert list(settings.directory.iterdir()) == []
    edit(settings.policies / "paymesh/authz/token.rego", lambda text: text + "\nrule if {")
    assert await one.publish_if(unsettled) is None
    assert not settings.status_file.exists()


async def test_what_git_is_about_to_change_is_read_again(
    settings: publisher.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git began while the policy was compiled: what it has changed is published, once."""
    path = settings.policies / "paymesh/authz/token.rego"
    lock = settings.root / ".git/index.lock"
    lock.parent.mkdir()
    compile_ = compiler.Compiler.compile

    async def meanwhile(self: compiler.Compiler, files: dict[str, bytes]) -> None:
        await compile_(self, files)
        if files and b"# of git" not in files["paymesh/authz/token.rego"]:
            lock.touch()
            asyncio.get_running_loop().call_later(0.2, of_git)

    def of_git() -> None:
        path.write_text(path.read_text() + "\n# of git\n")
        lock.unlink()

    monkeypatch.setattr(compiler.Compiler, "compile", meanwhile)
    task = asyncio.create_task(edits.follow(settings))
    try:
        await until(settings.status_file.exists)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert published(settings).files["paymesh/authz/token.rego"].endswith(b"# of git\n")
    assert len(Archive(settings.archive, settings.key.public_key()).revisions()) == 1


async def test_many_grants_can_be_published(settings: publisher.Settings) -> None:
    """25,000, from file to bundle; the next edit reads nothing but what it changed."""
    site = Site(settings.root.parent)
    site.enlarge(25_000)
    status = await publisher.publish_once(settings)
    assert (status.state, status.problem) == ("ok", "")
    index = json.loads(published(settings).files["paymesh/index/data.json"])["grants"]
    assert sum(len(found) for callers in index.values() for found in callers.values()) == 25_000


async def test_a_first_policy_that_is_wrong_leaves_nothing(settings: publisher.Settings) -> None:
    """Without a good bundle from before there is none: decision points stay unready."""
    edit(settings.policies / "paymesh/authz/token.rego", lambda text: text + "\nrule if {")
    status = await publisher.publish_once(settings)
    assert (status.state, status.revision) == ("refused", None)
    assert list(settings.directory.iterdir()) == []


async def test_revisions_grow_although_the_clock_went_back(
    settings: publisher.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next revision follows the last published one, not the clock."""
    first = await publisher.publish_once(settings)
    assert first.revision is not None
    monkeypatch.setattr(publisher.time, "time_ns", lambda: 1_000_000_000_000_000_000)
    edit(settings.policies / "paymesh/authz/token.rego", lambda text: text + "\n# more\n")
    second = await publisher.publish_once(settings)
    assert second.revision is not None
    assert int(second.revision[:13]) == int(first.revision[:13]) + 1


async def test_another_key_publishes_anew(
    settings: publisher.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the key was changed the old bundle is no good, though its contents are the same;
    the new one is later than it, whatever the clock says.
    """
    first = await publisher.publish_once(settings)
    monkeypatch.setattr(publisher.time, "time_ns", lambda: 1_000_000_000_000_000_000)
    other = dataclasses.replace(settings, key=ec.generate_private_key(ec.SECP256R1()))
    second = await publisher.publish_once(other)
    assert (second.state, published(other).revision) == ("ok", second.revision)
    assert first.revision is not None
    assert second.revision is not None
    assert second.revision > first.revision


async def test_a_damaged_status_file_does_not_stop_publishing(
    settings: publisher.Settings,
) -> None:
    """It is replaced by a good one."""
    settings.status_file.write_text("{")
    status = await publisher.publish_once(settings)
    assert status.state == "ok"
    assert publisher.read_status(settings.status_file) == status


async def test_a_damaged_published_bundle_is_replaced(settings: publisher.Settings) -> None:
    """What a full disk or a hand left behind does not stay in force."""
    await publisher.publish_once(settings)
    (settings.directory / bundle.FILE_NAME).write_bytes(b"damaged")
    assert (await publisher.publish_once(settings)).state == "ok"
    assert published(settings)


async def test_a_missing_program_is_a_sentence(settings: publisher.Settings) -> None:
    """Without a compiler nothing is published unseen."""
    broken = dataclasses.replace(settings, pdp=settings.root / "nothing")
    status = await publisher.publish_once(broken)
    assert (status.state, status.revision) == ("refused", None)
    assert status.problem.endswith("cannot be started: run `make setup`")


async def test_a_damaged_status_file_is_a_sentence(settings: publisher.Settings) -> None:
    """`paymesh status` does not trip over it."""
    settings.status_file.write_text("{")
    with pytest.raises(SetupError, match="remove it"):
        publisher.read_status(settings.status_file)


async def until(condition: Callable[[], bool], seconds: float = 10) -> float:
    """Seconds until the condition holds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        await asyncio.sleep(0.01)
    return time.monotonic() - start


async def test_edits_are_followed(settings: publisher.Settings) -> None:
    """A good edit is published, a bad one refused, the next good one published again."""
    await publisher.publish_once(settings)
    task = asyncio.create_task(edits.follow(settings))
    path = settings.policies / "paymesh/authz/token.rego"
    good = path.read_text()

    def state() -> tuple[str, str | None]:
        status = publisher.read_status(settings.status_file)
        return (status.state, status.revision) if status else ("", None)

    try:
        await asyncio.sleep(0.3)
        _, first = state()
        path.write_text(good + "\n# one\n")
        await until(lambda: state()[1] != first)
        _, second = state()
        path.write_text(good + "\nrule if {")
        await until(lambda: state() == ("refused", second))
        path.write_text(good + "\n# two\n")
        await until(lambda: state()[0] == "ok" and state()[1] != second)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_watch_ends_when_told(settings: publisher.Settings) -> None:
    """A supervisor that goes down is not kept waiting."""
    stop = asyncio.Event()
    task = asyncio.create_task(edits.follow(settings, stop))
    await asyncio.sleep(0.2)
    stop.set()
    await asyncio.wait_for(task, timeout=10)
