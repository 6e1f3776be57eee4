"""`paymesh check` and what a workload can do to the files and sockets that are its own."""

from __future__ import annotations

import dataclasses
import http.server
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paymesh import checks
from paymesh.grants import load_grants
from paymesh.mesh import Mesh, load_mesh, repository_root
from paymesh.paths import Paths
from paymesh.runtime.workspace import dsn

SECRET = "hunter2-of-somebody-else"
TOKEN = "the-token-of-payments"


@pytest.fixture
def context(tmp_path: Path) -> checks.Context:
    """The home of a mesh that is down, and in it a secret that is no workload's."""
    found: Mesh = load_mesh(port_offset=0)
    paths = Paths(tmp_path / "home", tmp_path / "cache")
    for workload in found.sidecars():
        paths.workload(workload.name).mkdir(parents=True)
    paths.secrets.mkdir()
    for workload in found.services():
        paths.pdp_token(workload.name).write_text(TOKEN)
        if workload.database:
            paths.password(workload.database).write_text("password")
    (paths.secrets / "other").write_text(f"{SECRET}\n-----BEGIN PRIVATE KEY-----\n")
    return checks.Context(paths, found, load_grants())


def _findings(context: checks.Context, section: str) -> dict[str, str | None]:
    return {finding.name: finding.problem for finding in checks.SECTIONS[section](context)}


@pytest.fixture
def listener(
    context: checks.Context,
) -> Iterator[tuple[checks.Context, list[str]]]:
    """A mesh whose decision points were all replaced by one listener, and what it was sent."""
    heard: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers.get("authorization", ""))
            self.wfile.write(f"\x1b[2J {heard[-1]} is no HTTP\r\n\r\n".encode())

        do_POST = do_GET  # noqa: N815 — http.server names it

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer((context.mesh.address, 0), Handler) as server:
        port = server.server_address[1]
        workloads = {
            name: dataclasses.replace(workload, pdp_port=port)
            for name, workload in context.mesh.workloads.items()
        }
        mesh = dataclasses.replace(context.mesh, workloads=workloads)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield dataclasses.replace(context, mesh=mesh), heard
        finally:
            server.shutdown()
            thread.join()


def test_a_workload_is_sent_its_own_token_and_no_secret_that_it_links_to(
    listener: tuple[checks.Context, list[str]],
) -> None:
    """Root sends what root has written, and repeats nothing of what comes back."""
    context, heard = listener
    for workload in context.mesh.services():
        link = context.paths.workload(workload.name) / "pdp-token"
        link.symlink_to(context.paths.secrets / "other")
    (context.paths.home / "policy.json").write_text('{"state": "ok", "revision": "r"}')
    found = _findings(context, "policy")
    assert set(heard) <= {f"Bearer {TOKEN}", ""}
    assert f"Bearer {TOKEN}" in heard
    assert found["ledger's decision point answers"]
    said = str(found)
    assert not [text for text in (SECRET, TOKEN, "PRIVATE KEY", "\\x1b") if text in said]


def test_a_connection_string_that_a_workload_wrote_is_named_and_not_used(
    context: checks.Context,
) -> None:
    """It would make root connect wherever it says, with whatever files it names."""
    for workload in context.mesh.services():
        if workload.database:
            with socket.create_server((context.mesh.address, 0)) as server:
                server.settimeout(0)
                host, port = server.getsockname()
                path = context.paths.workload(workload.name) / "dsn"
                path.write_text(f"host={host} port={port} dbname={SECRET} user=x password=y")
                found = _findings(context, "database")
                with pytest.raises(BlockingIOError):
                    server.accept()
            assert "else than it was given" in str(
                found[f"{workload.name} has its connection string"]
            )
            assert SECRET not in str(found)


def test_a_connection_string_as_it_was_given_is_fine(context: checks.Context) -> None:
    """The workload's own copy is compared with what the supervisor wrote."""
    path = context.paths.workload("ledger") / "dsn"
    path.write_text(dsn(context.paths, "ledger", "ledger", "password") + "\n")
    assert _findings(context, "database")["ledger has its connection string"] is None


_PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "a link": lambda path, secret: path.symlink_to(secret),
    "a pipe": lambda path, _: os.mkfifo(path),
    "a directory": lambda path, _: path.mkdir(),
    "an endless file": lambda path, _: path.symlink_to("/dev/zero"),
    "a file of 1 TB": lambda path, _: (path.touch(), os.truncate(path, 1 << 40)),
}


@pytest.mark.parametrize("plant", _PLANTED.values(), ids=_PLANTED)
@pytest.mark.parametrize(("section", "name"), [("database", "dsn"), ("envoy", "envoy.yaml")])
def test_what_is_planted_is_named_and_hides_nobody_else(
    context: checks.Context, section: str, name: str, plant: Callable[[Path, Path], object]
) -> None:
    """Nothing waits, nothing is followed, and the workloads after it are looked at."""
    plant(context.paths.workload("ledger") / name, context.paths.secrets / "other")
    committed = repository_root() / "envoy" / "payments.yaml"
    shutil.copy(committed, context.paths.workload("payments") / "envoy.yaml")
    found = _findings(context, section)
    assert SECRET not in str(found)
    if section == "envoy":
        assert found["ledger's Envoy has the committed configuration"]
        assert found["payments's Envoy has the committed configuration"] is None
    else:
        assert found["ledger has its connection string"]
        assert "payments can reach its database" in found


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", id="aliases"),
        pytest.param(f"a: [{SECRET}", id="cut"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("a: \0\n", id="NUL"),
    ],
)
def test_a_configuration_that_a_workload_wrote_is_read_with_care(
    context: checks.Context, text: str
) -> None:
    """Aliases are not followed, and a parser's words, which quote, are not repeated."""
    (context.paths.workload("ledger") / "envoy.yaml").write_text(text)
    problem = _findings(context, "envoy")["ledger's Envoy has the committed configuration"]
    assert str(problem).endswith("cannot be read as YAML")
