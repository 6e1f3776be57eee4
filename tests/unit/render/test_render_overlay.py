"""What an environment changes in a committed Envoy configuration, and what it may not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from paymesh.errors import ConfigError
from paymesh.mesh import load_mesh, repository_root
from paymesh.render import readdress, with_tracing

ROOT = repository_root()
SIDECARS = [workload.name for workload in load_mesh(ROOT, port_offset=0).sidecars()]


def _committed(workload: str) -> dict[str, Any]:
    text = (ROOT / "envoy" / f"{workload}.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _leaves(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _leaves(child, (*path, index))
    else:
        yield path, value


@pytest.mark.parametrize("workload", SIDECARS)
def test_offset_zero_changes_nothing(workload: str) -> None:
    """The committed file is the file that runs."""
    config = _committed(workload)
    assert readdress(config, load_mesh(ROOT, port_offset=0)) == config


@pytest.mark.parametrize("workload", SIDECARS)
def test_offset_moves_ports_and_nothing_else(workload: str) -> None:
    """Every port moves by the offset; no other value differs; the argument is left alone."""
    config = _committed(workload)
    before = copy.deepcopy(config)
    moved = dict(_leaves(readdress(config, load_mesh(ROOT, port_offset=700))))
    assert config == before
    assert moved.keys() == dict(_leaves(before)).keys()
    for path, value in _leaves(before):
        assert moved[path] == (value + 700 if path[-1] == "port_value" else value), path


@pytest.mark.parametrize("workload", SIDECARS)
def test_tracing_reaches_every_listener(workload: str) -> None:
    """With an endpoint each listener reports spans, and a cluster leads to the endpoint."""
    config = _committed(workload)
    traced = with_tracing(config, "http://127.0.0.1:14317")
    managers = [
        filter_["typed_config"]
        for listener in traced["static_resources"]["listeners"]
        for filter_ in listener["filter_chains"][0]["filters"]
        if filter_["name"].endswith("http_connection_manager")
    ]
    assert all("tracing" in manager for manager in managers)
    collector = traced["static_resources"]["clusters"][-1]
    assert "14317" in str(collector["load_assignment"])
    assert "tracing" not in str(config["static_resources"]["clusters"])


@pytest.mark.parametrize("endpoint", ["", "127.0.0.1:4317", "https://127.0.0.1:4317", "http://"])
def test_tracing_refuses_what_it_cannot_reach(endpoint: str) -> None:
    """An endpoint that Envoy could not use is refused, and the sentence says what to set."""
    with pytest.raises(ConfigError, match="set it to an address such as"):
        with_tracing(_committed("ledger"), endpoint)
