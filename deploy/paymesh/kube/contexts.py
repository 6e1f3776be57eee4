"""Which cluster: a context of the kubeconfig."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from paymesh.errors import ConfigError
from paymesh.kube.client import Cluster


def connect(context: str | None = None) -> Cluster:
    """The cluster of a context of the kubeconfig: the current one if none is named.

    Raises:
        ConfigError: there is no such context, or no kubeconfig.
        Unreachable: its API server does not answer.
    """
    try:
        contexts, current = config.list_kube_config_contexts()
    except (ConfigException, OSError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{_kubeconfig()} names no cluster: set KUBECONFIG, or run `paymesh kind-up`"
        ) from error
    names = sorted(entry["name"] for entry in contexts)
    name = context or (current or {}).get("name")
    if name is None or name not in names:
        raise ConfigError(
            f"there is no context {name!r} in {_kubeconfig()}, which has {', '.join(names)}"
        )
    configuration = client.Configuration()
    try:
        config.load_kube_config(context=name, client_configuration=configuration)
    except ConfigException as error:
        raise ConfigError(f"context {name!r} cannot be used: {error}") from error
    cluster = Cluster(name, configuration)
    cluster.version()
    return cluster


def _kubeconfig() -> str:
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
