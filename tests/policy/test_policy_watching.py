"""Edits are seen at once, whole, and none is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paymesh.policy import checkout, watching


def is_yaml(name: str) -> bool:
    """What is wanted in these tests."""
    return name.endswith(".yaml")


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[watching.Watch]:
    """A watch on a directory with one file in a directory in it."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/a.yaml").write_text("old")
    async with watching.Watch(tmp_path, is_yaml) as found:
        yield found


def replace(path: Path, text: str) -> None:
    """Saves as most editors do."""
    fresh = path.with_name(f".{path.name}.saving")
    fresh.write_text(text)
    fresh.replace(path)


async def test_a_save_is_seen_at_once(watch: watching.Watch, tmp_path: Path) -> None:
    """In a directory further down, replaced or written in place; and then all is quiet."""
    for save in (replace, Path.write_text):
        began = time.monotonic()
        save(tmp_path / "inner/a.yaml", "new")
        assert await watch.edited(10)
        assert await watch.settled()
        assert time.monotonic() - began < 5
        assert not await watch.edited(0.05)


@pytest.mark.parametrize("change", ["make", "remove", "move in", "move out"])
async def test_files_and_directories_that_come_and_go_are_edits(
    watch: watching.Watch, tmp_path: Path, change: str
) -> None:
    """Whatever changes what would be read."""
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.yaml").write_text("b")
    match change:
        case "make":
            (tmp_path / "b.yaml").touch()
        case "remove":
            (tmp_path / "inner/a.yaml").unlink()
        case "move in":
            elsewhere.rename(tmp_path / "moved")
        case "move out":
            (tmp_path / "inner").rename(elsewhere / "inner")
    assert await watch.edited(10)


async def test_a_directory_that_came_later_is_watched(
    watch: watching.Watch, tmp_path: Path
) -> None:
    """With those in it."""
    (tmp_path / "one/two").mkdir(parents=True)
    while await watch.edited(0.2):
        assert await watch.settled()
    (tmp_path / "one/two/b.yaml").write_text("b")
    assert await watch.edited(10)


async def test_other_files_are_no_edits(watch: watching.Watch, tmp_path: Path) -> None:
    """An editor's own files do not make anybody work."""
    for name in (".a.yaml.swp", "4913", "a.yaml~"):
        (tmp_path / "inner" / name).write_text("x")
    assert not await watch.edited(0.2)


async def test_a_file_is_waited_for_until_it_is_closed(
    watch: watching.Watch, tmp_path: Path
) -> None:
    """Half of it is nobody's policy; of who never closes it we have had enough some time."""
    with (tmp_path / "inner/a.yaml").open("w") as file:
        file.write("half")
        file.flush()
        seen = asyncio.create_task(watch.edited(10))
        await asyncio.sleep(0.1)
        assert not seen.done()
        file.write(" and half")
    assert await seen
    assert (tmp_path / "inner/a.yaml").read_text() == "half and half"
    assert await watch.settled()
    with (tmp_path / "inner/a.yaml").open("w") as file:
        began = time.monotonic()
        file.write("half")
        file.flush()
        assert await watch.edited(10)
        assert time.monotonic() - began >= 0.9 * watching.LONGEST_SECONDS


async def test_an_edit_is_not_over_while_more_is_saved(
    watch: watching.Watch, tmp_path: Path
) -> None:
    """Several files that are saved together are one edit; the last one ends it."""
    replace(tmp_path / "inner/a.yaml", "new")
    assert await watch.edited(10)
    replace(tmp_path / "b.yaml", "new")
    assert not await watch.settled()
    assert await watch.edited(10)
    assert await watch.settled()


async def test_an_edit_without_an_end_is_over_some_time(
    watch: watching.Watch, tmp_path: Path
) -> None:
    """Who saves without pause does not keep everybody from the policy."""
    began = time.monotonic()
    settled = False
    while not settled:
        replace(tmp_path / "inner/a.yaml", str(time.monotonic()))
        assert await watch.edited(10)
        replace(tmp_path / "inner/a.yaml", str(time.monotonic()))
        settled = await watch.settled()
        assert time.monotonic() - began < 20
    assert time.monotonic() - began >= 0.9 * watching.LONGEST_SECONDS


async def next_edit(edits: AsyncIterator[watching.Settled]) -> watching.Settled:
    """The next one, within a time that a slow machine needs as well."""
    return await asyncio.wait_for(anext(edits), 20)


async def test_what_there_is_already_comes_first(tmp_path: Path) -> None:
    """Between the last look and the watch there is no gap."""
    (tmp_path / "a.yaml").write_text("a")
    async with contextlib.aclosing(watching.follow(tmp_path, wanted=is_yaml)) as edits:
        assert await (await next_edit(edits))()
        replace(tmp_path / "a.yaml", "b")
        assert await (await next_edit(edits))()


async def test_a_directory_that_is_replaced_is_followed_on(tmp_path: Path) -> None:
    """Gone, it is waited for; back, it is watched again."""
    directory = tmp_path / "policies"
    directory.mkdir()
    (directory / "a.yaml").write_text("a")
    async with contextlib.aclosing(watching.follow(directory, wanted=is_yaml)) as edits:
        await next_edit(edits)
        shutil.rmtree(directory)
        await next_edit(edits)
        directory.mkdir()
        (directory / "a.yaml").write_text("b")
        await next_edit(edits)
        replace(directory / "a.yaml", "c")
        await next_edit(edits)


async def test_without_a_watch_edits_are_found_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that watches no more for this user makes it slower, not deaf."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(watching, "Watch", refuse)
    (tmp_path / "a.yaml").write_text("a")
    async with contextlib.aclosing(watching.follow(tmp_path, wanted=is_yaml)) as edits:
        await next_edit(edits)
        replace(tmp_path / "a.yaml", "other")
        assert await (await next_edit(edits))()


@pytest.mark.parametrize("git_directory", ["checkout/.git", "repository/worktrees/x"])
async def test_git_is_waited_for(tmp_path: Path, git_directory: str) -> None:
    """While git holds the index's lock files are of two branches; so in a worktree."""
    git = tmp_path / git_directory
    git.mkdir(parents=True)
    if not (tmp_path / "checkout").exists():
        (tmp_path / "checkout").mkdir()
        (tmp_path / "checkout/.git").write_text(f"gitdir: {git}\n")
    lock = git / "index.lock"
    await asyncio.wait_for(checkout.git_is_done(tmp_path / "checkout"), 5)
    lock.touch()
    waiting = asyncio.create_task(checkout.git_is_done(tmp_path / "checkout"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    lock.unlink()
    await asyncio.wait_for(waiting, 5)


async def test_a_lock_that_git_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    """An old one, after a crash; nor is there anything to wait for without git."""
    await asyncio.wait_for(checkout.git_is_done(tmp_path), 5)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/index.lock").touch()
    os.utime(tmp_path / ".git/index.lock", (0, 0))
    await asyncio.wait_for(checkout.git_is_done(tmp_path), 5)
