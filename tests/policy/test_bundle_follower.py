"""The follower: a ConfigMap's content in a file, whatever happens to the API server."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paymesh.mesh import repository_root
from paymesh.policy import follower

from . import fake_api

KEY = "paymesh.tar.gz"
SECONDS = 20.0


def encoded(data: bytes) -> dict[str, str]:
    """The `binaryData` with the bundle."""
    return {KEY: base64.b64encode(data).decode("ascii")}


def wait_until(condition: Callable[[], bool], what: Callable[[], str] = str) -> None:
    """Returns once the condition holds."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.01)


class End(BaseException):
    """Ends a follower between two attempts, as a signal does."""


class Running(logging.Handler):
    """A follower in a thread, and what it said."""

    def __init__(self, api: fake_api.FakeApi, directory: Path) -> None:
        super().__init__()
        self.file = directory / "bundles" / KEY
        self.file.parent.mkdir(exist_ok=True)
        self._lines: list[str] = []
        self._end = threading.Event()
        program = follower.Follower(
            follower.connect(api.kubeconfig(directory)),
            fake_api.NAMESPACE,
            fake_api.NAME,
            KEY,
            self.file.parent,
        )
        self._thread = threading.Thread(target=self._follow, args=(program,))
        logging.getLogger("follower").addHandler(self)
        self._thread.start()

    def _follow(self, program: follower.Follower) -> None:
        with contextlib.suppress(End):
            program.follow(sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        if self._end.wait(seconds):
            raise End

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        self._lines.append(record.getMessage())

    def log(self) -> str:
        """All that it has said."""
        return "\n".join(self._lines)

    def is_alive(self) -> bool:
        """Whether it still follows."""
        return self._thread.is_alive()

    def stop(self, api: fake_api.FakeApi) -> None:
        """Ends it by an API server that refuses."""
        self._end.set()
        api.status = 503
        api.cut()
        self._thread.join(timeout=10)
        logging.getLogger("follower").removeHandler(self)
        assert not self.is_alive()

    def wait_for_file(self, data: bytes) -> None:
        """Returns once the file has this content."""
        wait_until(lambda: self.file.exists() and self.file.read_bytes() == data, self.log)

    def wait_for_log(self, text: str) -> None:
        """Returns once it has said this."""
        wait_until(lambda: text in self.log(), self.log)


@pytest.fixture
def api() -> Iterator[fake_api.FakeApi]:
    """A server that has `one`."""
    server = fake_api.FakeApi()
    server.put(encoded(b"one"), revision="7")
    yield server
    server.close()


@pytest.fixture
def running(
    api: fake_api.FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Running]:
    """A follower that has written `one`."""
    caplog.set_level(logging.INFO, "follower")
    program = Running(api, tmp_path)
    try:
        program.wait_for_file(b"one")
        yield program
    finally:
        program.stop(api)


def test_what_is_published_is_written(api: fake_api.FakeApi, running: Running) -> None:
    """First by the list, then by the watch; the log has each revision once."""
    running.wait_for_log("revision 7")
    for number in range(3):
        api.put(encoded(b"bundle %d" % number), revision=f"1{number}")
        running.wait_for_file(b"bundle %d" % number)
    running.wait_for_log("revision 12")
    assert running.log().count("wrote ") == 4
    assert sorted(path.name for path in running.file.parent.iterdir()) == [KEY]
    assert running.file.stat().st_mode & 0o777 == 0o644


def test_only_the_one_configmap_is_asked_for(api: fake_api.FakeApi, running: Running) -> None:
    """Every request has the field selector that its permission depends on."""
    wait_until(lambda: api.watches() > 0)
    assert running.is_alive()
    assert {query.get("fieldSelector") for query in api.queries} == {
        f"metadata.name={fake_api.NAME}"
    }


def test_another_configmap_is_not_taken(api: fake_api.FakeApi, running: Running) -> None:
    """Even if the server sends one that was not asked for."""
    wait_until(lambda: api.watches() > 0)
    api.put(encoded(b"another's"), name="another")
    api.put(encoded(b"two"))
    running.wait_for_file(b"two")
    assert running.log().count("wrote ") == 2


@pytest.mark.parametrize(
    ("binary_data", "complaint"),
    [
        (None, f"no {KEY} in its binaryData"),
        ({}, f"no {KEY} in its binaryData"),
        ({"other": "b25l"}, f"no {KEY} in its binaryData"),
        ({KEY: ""}, f"no {KEY} in its binaryData"),
        ({KEY: "*not base64*"}, "is not Base64"),
        (encoded(b"x" * (follower.MAX_BYTES + 1)), "1 to 1048576 are taken"),
        ({KEY: "QUJD" * (follower.MAX_BYTES // 2)}, "is larger than 1048576 bytes"),
    ],
    ids=["null", "empty", "other-key", "empty-key", "no-base64", "one-too-many", "far-too-many"],
)
def test_content_of_no_use_leaves_the_last_file(
    api: fake_api.FakeApi, running: Running, binary_data: Any, complaint: str
) -> None:
    """It is named in the log, the file stays, and the next good one is taken."""
    api.put(binary_data)
    running.wait_for_log(complaint)
    assert running.file.read_bytes() == b"one"
    api.put(encoded(b"two"))
    running.wait_for_file(b"two")
    assert running.is_alive()


def test_the_largest_bundle_is_taken(api: fake_api.FakeApi, running: Running) -> None:
    """Exactly MAX_BYTES arrive whole."""
    largest = bytes(range(256)) * (follower.MAX_BYTES // 256)
    api.put(encoded(largest))
    running.wait_for_file(largest)


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}}',
        '{"type":"ERROR","object":"what"}',
        '{"type":"MODIFIED","object":{"metadata":"no object","binaryData":7}}',
        '{"type":"MODIFIED"}',
        '{"type":"MODIFIED","object":{"metadata":{"name":"paymesh-policy"},"binaryData":["x"]}}',
        "[]",
        "7",
        "not JSON",
        "",
        json.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "99"}}}),
    ],
)
def test_no_event_ends_it(api: fake_api.FakeApi, running: Running, line: str) -> None:
    """Whatever the server sends, the next bundle is written."""
    wait_until(lambda: api.watches() > 0)
    api.say(line)
    api.put(encoded(b"two"))
    running.wait_for_file(b"two")
    assert running.is_alive()


def test_an_outage_leaves_the_file_and_ends_with_a_fresh_list(
    api: fake_api.FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server goes away, and comes back with another bundle: complaints, but no exit."""
    caplog.set_level(logging.INFO, "follower")
    running = Running(api, tmp_path)
    running.wait_for_file(b"one")
    wait_until(lambda: api.watches() > 0)
    api.close()
    running.wait_for_log("tries again")
    assert running.file.read_bytes() == b"one"
    back = fake_api.FakeApi(api.port)
    try:
        back.put(encoded(b"two"))
        running.wait_for_file(b"two")
    finally:
        running.stop(back)
        back.close()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_a_refusal_is_tried_again(api: fake_api.FakeApi, running: Running, status: int) -> None:
    """A permission that comes late or a server under load is waited for."""
    api.status = status
    api.cut()
    running.wait_for_log(f"the API server: {status}")
    api.put(encoded(b"two"))
    api.status = None
    running.wait_for_file(b"two")


def test_a_cut_watch_misses_nothing(api: fake_api.FakeApi, running: Running) -> None:
    """What changed while nobody watched is found by the list."""
    for number in range(5):
        wait_until(lambda: api.watches() > number)  # noqa: B023 - called before the next
        api.cut()
        api.put(encoded(b"bundle %d" % number))
        running.wait_for_file(b"bundle %d" % number)


def test_a_deleted_configmap_leaves_the_file(api: fake_api.FakeApi, running: Running) -> None:
    """The last bundle is served until there is another."""
    wait_until(lambda: api.watches() > 0)
    api.delete()
    running.wait_for_log("was deleted")
    assert running.file.read_bytes() == b"one"
    api.put(encoded(b"two"))
    running.wait_for_file(b"two")


@pytest.fixture
def program(api: fake_api.FakeApi, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program as a pod runs it, but for its configuration; it has written `one`."""
    file = tmp_path / "bundles" / KEY
    file.parent.mkdir()
    command = [
        sys.executable,
        *("-m", "paymesh.policy.follower", "--namespace", fake_api.NAMESPACE),
        *("--configmap", fake_api.NAME, "--key", KEY),
        *("--directory", file.parent, "--kubeconfig", api.kubeconfig(tmp_path)),
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(repository_root() / "deploy")},
            stderr=log,
        )
    try:
        wait_until(lambda: api.watches() > 0, (tmp_path / "log").read_text)
        assert file.read_bytes() == b"one"
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_watch_at_once(
    program: subprocess.Popen[bytes], tmp_path: Path, number: int
) -> None:
    """Code 0 although the server has nothing to say."""
    program.send_signal(number)
    assert program.wait(timeout=5) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [KEY]


def test_a_signal_ends_the_wait_for_a_server(
    api: fake_api.FakeApi, program: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Code 0 also between two attempts."""
    api.status = 500
    api.cut()
    wait_until(lambda: "the API server: 500" in (tmp_path / "log").read_text())
    program.terminate()
    assert program.wait(timeout=5) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_file_that_is_right_is_left_alone(
    api: fake_api.FakeApi, running: Running, tmp_path: Path
) -> None:
    """A restart does not make the server send the same bundle to everybody again."""
    wait_until(lambda: api.watches() == 1)
    inode = running.file.stat().st_ino
    again = Running(api, tmp_path)
    wait_until(lambda: api.watches() == 2, again.log)
    assert running.file.stat().st_ino == inode
    again.stop(api)


ARGUMENTS = {"--namespace": "n", "--configmap": "c", "--key": KEY}


@pytest.mark.parametrize("key", ["../x", "a/b", "..", ".", "", "a b", "k\n"])
def test_a_key_is_a_plain_file_name(
    api: fake_api.FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """What could name a file elsewhere is refused at the start."""
    arguments = {**ARGUMENTS, "--directory": tmp_path, "--kubeconfig": api.kubeconfig(tmp_path)}
    arguments["--key"] = key
    assert follower.main([str(word) for pair in arguments.items() for word in pair]) == 1
    assert "is no key of a ConfigMap" in capsys.readouterr().err


def test_what_is_missing_is_a_sentence(
    api: fake_api.FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its directory, or outside a pod without a kubeconfig, it does not start."""
    directory = ["--directory", str(tmp_path / "nothing")]
    words = [word for pair in ARGUMENTS.items() for word in pair]
    kubeconfig = ["--kubeconfig", str(api.kubeconfig(tmp_path))]
    for arguments in ([*directory, *kubeconfig], ["--directory", str(tmp_path)]):
        assert follower.main([*words, *arguments]) == 1
        errors = capsys.readouterr().err
        assert errors.startswith("follower: ")
        assert len(errors.splitlines()) == 1
