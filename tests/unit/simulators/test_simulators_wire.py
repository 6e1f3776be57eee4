"""What both servers do to every request, and how the process starts, stops and dies."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulators as simulators_package
from simulators import testing
from simulators.card_numbers import has_card_number
from simulators.errors import StartError
from simulators.ids import new_id
from simulators.options import Options, parse
from simulators.server import running

_BODY = {"amount": 1, "currency": "EUR", "source": "tok_visa", "reference": "r"}


@pytest.mark.parametrize("key", ["", "wrong", testing.API_KEY + "x", testing.API_KEY[:-1]])
@pytest.mark.parametrize("path", ["/v1/charges", "/_admin/charges", "/nowhere"])
async def test_a_wrong_key_opens_nothing(simulators: Any, key: str, path: str) -> None:
    """Without the right API key every path but health is a 401."""
    async with testing.client(
        testing.CARDS_HOST, simulators.cards_port, simulators.ca, key=key
    ) as http:
        answer = await http.post(path, json=_BODY, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 401
        assert (await http.get("/_admin/health")).json() == {"status": "serving"}


async def test_the_certificate_names_the_host(simulators: Any) -> None:
    """The card processor's port does not pass for the bank data provider."""
    async with testing.client(testing.BANKS_HOST, simulators.cards_port, simulators.ca) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/_admin/health")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"[" * 9000,
        b'{"amount": NaN, "currency": "EUR", "source": "tok_visa", "reference": "r"}',
        b'{"amount": 1, "amount": 1, "currency": "EUR", "source": "tok_visa", "reference": "r"}',
        b"\xff\xfe",
    ],
)
async def test_a_body_that_is_no_object_is_refused(simulators: Any, raw: bytes) -> None:
    """Whatever is not one plain JSON object is a 400 with a code."""
    answer = await simulators.cards.post(
        "/v1/charges", content=raw, headers={"Idempotency-Key": "k"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in {"body_invalid", "parameters_invalid"}


async def test_a_large_body_is_refused(simulators: Any) -> None:
    """More than 16 KiB is a 413."""
    answer = await simulators.cards.post(
        "/v1/charges", content=b" " * (16 * 1024 + 1), headers={"Idempotency-Key": "k"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("key", [None, "", "x" * 256, "a b", "4111111111111111"])
async def test_a_key_of_another_form_is_refused(simulators: Any, key: str | None) -> None:
    """An Idempotency-Key is there, visible ASCII, at most 255 long, and no card number."""
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = await simulators.cards.post("/v1/charges", json=_BODY, headers=headers)
    assert answer.status_code == 400


async def test_unknown_paths_are_json(simulators: Any) -> None:
    """404 and 405 have the same error shape as everything else."""
    missing = await simulators.cards.get("/v2/charges")
    wrong_method = await simulators.cards.get("/v1/charges")
    assert (missing.status_code, wrong_method.status_code) == (404, 405)
    assert missing.json()["error"]["code"] == "http_404"


@given(st.uuids(), st.integers(0, 10**6))
def test_ids_are_not_card_numbers(number: uuid.UUID, amount: int) -> None:
    """No UUID, with hyphens or without, passes for a card number, nor does a small integer."""
    assert not has_card_number(str(number))
    assert not has_card_number(number.hex)
    assert not has_card_number(str(amount))


def test_made_ids_are_not_card_numbers() -> None:
    """An id of ours has no digit, and no two are alike."""
    ids = {new_id("ch") for _ in range(1000)}
    assert len(ids) == 1000
    assert not any(character.isdigit() for made in ids for character in made)


@pytest.mark.parametrize(
    "text", ["4111111111111111", "a 5500-0000-0000-0004 b", "3714 496353 98431", "6304000000000000"]
)
def test_card_numbers_are_recognised(text: str) -> None:
    """Known test numbers are found, with spaces, hyphens or text around them."""
    assert has_card_number(text)


async def test_state_is_for_its_owner_only(simulators: Any, options: Options) -> None:
    """The state directory is 0700 and no file in it is readable by others."""
    await simulators.cards.post("/v1/charges", json=_BODY, headers={"Idempotency-Key": "k"})
    assert stat.S_IMODE(options.state_dir.stat().st_mode) == 0o700
    for file in options.state_dir.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0


async def test_a_port_in_use_is_said_plainly(options: Options) -> None:
    """A taken port is one sentence with the address in it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = Options(**{**vars(options), "cards_port": port})
        with pytest.raises(StartError, match=f"127.0.0.1:{port}"):
            async with running(busy):
                pass


async def test_missing_certificates_are_said_plainly(options: Options, tmp_path: Path) -> None:
    """A missing certificate is one sentence that names the files."""
    broken = Options(**{**vars(options), "tls_dir": tmp_path / "none"})
    with pytest.raises(StartError, match=r"cards\.crt and cards\.key"):
        async with running(broken):
            pass


@pytest.mark.parametrize(
    "content", [None, "{", "[]", "{}", '{"card-processor": "00", "bank-data": "00"}']
)
def test_a_wrong_keys_file_refuses_to_start(tmp_path: Path, content: str | None) -> None:
    """There is no default key: a missing or malformed digest is a StartError."""
    keys = tmp_path / "keys.json"
    if content is not None:
        keys.write_text(content)
    with pytest.raises(StartError, match="keys file"):
        parse(_arguments(keys, tmp_path, 1, 2))


def _arguments(keys: Path, state: Path, cards_port: int, banks_port: int) -> list[str]:
    return [
        *("--cards-port", str(cards_port), "--banks-port", str(banks_port)),
        *("--tls-dir", str(state / "tls"), "--state-dir", str(state / "state")),
        *("--keys", str(keys)),
    ]


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


class _Process:
    """`python -m simulators`, started again on the same state."""

    def __init__(self, directory: Path) -> None:
        self.ca = testing.make_certificates(directory / "tls")
        digest = hashlib.sha256(testing.API_KEY.encode()).hexdigest()
        keys = directory / "keys.json"
        keys.write_text(json.dumps({"card-processor": digest, "bank-data": digest}))
        self.cards_port, banks_port = _free_ports()
        roots = Path(simulators_package.__file__ or "").parents[1]
        self._command = [
            *(sys.executable, "-m", "simulators"),
            *_arguments(keys, directory, self.cards_port, banks_port),
        ]
        self._environment = {**os.environ, "PYTHONPATH": str(roots)}

    async def start(self) -> subprocess.Popen[bytes]:
        process = self._spawn()
        async with self.client() as http:
            for _ in range(100):
                try:
                    await http.get("/_admin/health")
                except httpx.TransportError:
                    assert process.poll() is None
                    await asyncio.sleep(0.1)
                else:
                    return process
        raise AssertionError("did not start")

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment, stderr=subprocess.DEVNULL)

    def client(self) -> httpx.AsyncClient:
        return testing.client(testing.CARDS_HOST, self.cards_port, self.ca)


async def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """After SIGKILL under load every answered charge is there once, and no key is charged twice."""
    simulator = _Process(tmp_path)
    process = await simulator.start()
    answered: dict[str, str] = {}
    enough = asyncio.Event()

    async def charge(http: httpx.AsyncClient, key: str) -> None:
        answer = await http.post("/v1/charges", json=_BODY, headers={"Idempotency-Key": key})
        answered[key] = answer.json()["id"]
        if len(answered) >= 10:
            enough.set()

    async with simulator.client() as http:
        tasks = [asyncio.create_task(charge(http, f"key-{number}")) for number in range(60)]
        await enough.wait()
        process.kill()
        await asyncio.gather(*tasks, return_exceptions=True)
    process.wait()
    before = dict(answered)
    again = await simulator.start()
    try:
        async with simulator.client() as http:
            await asyncio.gather(*(charge(http, f"key-{number}") for number in range(60)))
            listed = (await http.get("/_admin/charges")).json()["charges"]
    finally:
        again.send_signal(signal.SIGTERM)
        assert again.wait(timeout=10) == 0
    assert before.items() <= answered.items()
    assert {row["idempotency_key"]: row["id"] for row in listed} == answered
    assert len(listed) == 60


async def test_sigterm_finishes_running_calls(tmp_path: Path) -> None:
    """A slow charge that runs when SIGTERM comes is answered, and the exit code is 0."""
    simulator = _Process(tmp_path)
    process = await simulator.start()
    async with simulator.client() as http:
        slow = asyncio.create_task(
            http.post(
                "/v1/charges",
                json={**_BODY, "source": "tok_slow"},
                headers={"Idempotency-Key": "slow"},
            )
        )
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert (await slow).json()["status"] == "succeeded"
    assert await asyncio.to_thread(process.wait, 10) == 0
