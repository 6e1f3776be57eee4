"""One contract for whoever answers for the object policy.

The fake that services test with, the client against a stand-in of the policy
decision point, and the client against the real one with the real policy.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from meshkit import context, testing
from meshkit.context import User
from meshkit.errors import NotThroughSidecar
from meshkit.pdp import ObjectDenied, ObjectPolicy, ObjectPolicyPort, PolicyUnavailable
from meshkit.testing import FakeObjectPolicy
from meshkit.testing.pdp import FakePdp
from paymesh.binaries import PDP, built
from paymesh.errors import SetupError
from paymesh.mesh import repository_root
from paymesh.paths import default_paths

TOKEN = "contract-test-token"
START_SECONDS = 20.0

ALICE = User("alice", "acme", frozenset({"customer"}))
OLIVIA = User("olivia", "acme", frozenset({"operator"}))
AUDREY = User("audrey", "acme", frozenset({"auditor"}))
HERS = {"tenant": "acme", "owner": "alice"}
COLLEAGUES = {"tenant": "acme", "owner": "anton"}
FOREIGN = {"tenant": "globex", "owner": "alice"}

CASES = [
    ("a customer reads what is hers", "payments.read", ALICE, HERS, True),
    ("a customer reads a colleague's", "payments.read", ALICE, COLLEAGUES, False),
    ("a customer reads another tenant's", "payments.read", ALICE, FOREIGN, False),
    ("an operator reads the tenant's", "payments.read", OLIVIA, HERS, True),
    ("an operator reads another tenant's", "payments.read", OLIVIA, FOREIGN, False),
    ("an auditor reads the tenant's", "payments.read", AUDREY, COLLEAGUES, True),
    ("nobody reads anything", "payments.read", None, HERS, False),
]

Switch = Callable[[], None]
Subject = tuple[ObjectPolicyPort, Switch]


@pytest.fixture(scope="module")
def real_pdp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The policy decision point as built, with the repository's policy; its URL."""
    try:
        program = built(default_paths(), PDP)
    except SetupError as error:
        pytest.skip(str(error))
    policies = tmp_path_factory.mktemp("policies")
    for package in ("paymesh", "system"):
        shutil.copytree(
            repository_root() / "policies" / package,
            policies / package,
            ignore=shutil.ignore_patterns("*_test.rego"),
        )
    _write_environment(policies / "paymesh" / "environment")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = policies.parent / "pdp.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [
                program,
                *("run", "--server", "--bundle", "--addr", f"127.0.0.1:{port}"),
                *("--authentication=token", "--authorization=basic", "--disable-telemetry"),
                str(policies),
            ],
            env=os.environ
            | {"PAYMESH_PDP_TOKEN_SHA256": hashlib.sha256(TOKEN.encode()).hexdigest()},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_healthy(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _write_environment(directory: Path) -> None:
    directory.mkdir()
    environment = {
        "trust_domain": testing.TRUST_DOMAIN,
        "namespace": "paymesh",
        "workloads": ["gateway", "payments", "ledger", "bank-link", "statements"],
        "users": {"issuer": "https://issuer.test", "audience": "paymesh", "jwks": '{"keys":[]}'},
    }
    (directory / "data.json").write_text(json.dumps(environment))


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            headers = {"authorization": f"Bearer {TOKEN}"}
            if httpx.get(f"{url}/health", headers=headers, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"the policy decision point did not start: {log.read_text(errors='replace')}")


@pytest.fixture(params=["fake", "client and stand-in", "client and real engine"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each of the three, with a switch that makes its engine go away."""
    if request.param == "fake":
        fake = FakeObjectPolicy.own_tenant()
        yield fake, lambda: setattr(fake, "available", False)
        return
    if request.param == "client and stand-in":
        rule = FakeObjectPolicy.own_tenant().rule
        async with FakePdp(rule, TOKEN) as pdp:
            config = testing.app_config(tmp_path, pdp_url=pdp.url, pdp_token=TOKEN)
            async with ObjectPolicy(config) as policy:
                yield policy, lambda: setattr(pdp, "status", 503)
        return
    url = request.getfixturevalue("real_pdp")
    config = testing.app_config(tmp_path, pdp_url=url, pdp_token=TOKEN)
    gone = testing.app_config(tmp_path, pdp_url=url, pdp_token="revoked")
    async with ObjectPolicy(config) as policy, ObjectPolicy(gone) as refused:

        class Switched:
            """The client, or one that the engine does not let in."""

            asked: ObjectPolicyPort = policy

            async def allowed(self, action: str, obj: Mapping[str, object]) -> None:
                """Ask on."""
                await self.asked.allowed(action, obj)

        switched = Switched()
        yield switched, lambda: setattr(switched, "asked", refused)


async def _ask(policy: ObjectPolicyPort, action: str, user: User | None, obj: Any) -> None:
    with context.activate(testing.call_context("gateway", user)):
        await policy.allowed(action, obj)


@pytest.mark.parametrize(
    ("action", "user", "obj", "allowed"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
async def test_they_decide_alike(
    subject: Subject, action: str, user: User | None, obj: Any, *, allowed: bool
) -> None:
    """For the same question all of them allow, or all of them raise ObjectDenied."""
    policy, _ = subject
    if allowed:
        await _ask(policy, action, user, obj)
    else:
        with pytest.raises(ObjectDenied) as caught:
            await _ask(policy, action, user, obj)
        assert caught.value.reason == "OBJECT_DENIED"


async def test_without_an_engine_nobody_decides(subject: Subject) -> None:
    """An engine that does not answer is PolicyUnavailable, never allowed and never denied."""
    policy, go_away = subject
    go_away()
    with pytest.raises(PolicyUnavailable):
        await _ask(policy, "payments.read", ALICE, HERS)


async def test_outside_of_a_call_nobody_asks(subject: Subject) -> None:
    """Without a call being served there is no caller to ask for."""
    policy, _ = subject
    with pytest.raises(NotThroughSidecar):
        await policy.allowed("payments.read", HERS)
