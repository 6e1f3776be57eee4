"""Breaks what a pod's Envoy configuration alone has."""

from __future__ import annotations

from typing import Any

import repo_config as part
from repo_config import Config
from repo_mutation import GATEWAY, LEDGER, PAYMENTS, mutation, put

_MORE = {"name": "envoy.filters.http.lua", "typed_config": {}}


def _socket(config: Config, cluster: str) -> Config:
    (locality,) = part.cluster(config, cluster)["load_assignment"]["endpoints"]
    found: Config = locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    return found


def _probe(config: Config) -> Config:
    return part.manager(config, "probe")


def _check(config: Config, name: str) -> Config:
    found: Config = part.named(_probe(config)["http_filters"], name)["typed_config"]
    return found


def _secret(config: Config) -> Config:
    tls = part.common(part.chain(config, "public"))
    found: Config = tls["tls_certificate_sds_secret_configs"][0]
    return found


def _static_certificate(config: Config) -> None:
    tls = part.common(part.chain(config, "public"))
    del tls["tls_certificate_sds_secret_configs"]
    files = {"certificate_chain": {"inline_string": "x"}, "private_key": {"inline_string": "x"}}
    tls["tls_certificates"] = [files]


def _route(config: Config) -> Any:
    return part.routes(config, "probe")[0]


PODS = [
    mutation(
        LEDGER,
        "no-wildcard-address listener-address",
        lambda c: put(
            part.listener(c, "inbound")["address"]["socket_address"], address="127.0.0.1"
        ),
    ),
    mutation(PAYMENTS, "cluster-address", lambda c: put(_socket(c, "ledger"), address="127.0.0.1")),
    mutation(
        PAYMENTS,
        "cluster-address",
        lambda c: put(_socket(c, "ledger"), address="bank-link.paymesh.svc.cluster.local."),
    ),
    mutation(
        PAYMENTS,
        "cluster-address",
        lambda c: put(_socket(c, "ledger"), address="ledger.paymesh.svc.cluster.local"),
    ),
    mutation(PAYMENTS, "cluster-address", lambda c: put(_socket(c, "ledger"), port_value=15021)),
    mutation(
        PAYMENTS,
        "cluster-address",
        lambda c: put(_socket(c, "card-processor"), address="api.cards.test"),
    ),
    mutation(
        PAYMENTS, "cluster-address", lambda c: put(_socket(c, "card-processor"), port_value=80)
    ),
    mutation(
        PAYMENTS,
        "pods-by-name",
        lambda c: part.cluster(c, "ledger").pop("ignore_health_on_host_removal"),
    ),
    mutation(
        PAYMENTS, "pods-by-name", lambda c: put(part.cluster(c, "card-processor"), type="STATIC")
    ),
    mutation(LEDGER, "local-health-asked", lambda c: part.cluster(c, "authz").pop("health_checks")),
    mutation(
        PAYMENTS,
        "mounted-files",
        lambda c: put(
            part.common(part.cluster(c, "card-processor"))["validation_context"],
            trusted_ca={"filename": "external-ca.pem"},
        ),
    ),
    mutation(GATEWAY, "certificate-renewed", _static_certificate),
    mutation(
        GATEWAY,
        "certificate-renewed",
        lambda c: _secret(c)["sds_config"].pop("initial_fetch_timeout"),
    ),
    mutation(GATEWAY, "certificate-renewed", lambda c: put(_secret(c), name="other")),
    mutation(
        LEDGER,
        "probe-address",
        lambda c: c["static_resources"]["listeners"].remove(part.listener(c, "probe")),
    ),
    mutation(
        LEDGER,
        "probe-address",
        lambda c: put(part.listener(c, "probe")["address"]["socket_address"], port_value=1),
    ),
    mutation(
        LEDGER,
        "probe-bounded",
        lambda c: part.chain(c, "probe")["filters"][0]["typed_config"].clear(),
    ),
    mutation(LEDGER, "probe-bounded", lambda c: _probe(c).pop("request_timeout")),
    mutation(
        LEDGER,
        "probe-bounded",
        lambda c: put(part.listener(c, "probe"), default_filter_chain={}),
    ),
    mutation(
        LEDGER,
        "probe-says-what-it-is-asked",
        lambda c: _check(c, "ready")["cluster_min_healthy_percentages"].pop("authz"),
    ),
    mutation(
        LEDGER,
        "probe-says-what-it-is-asked",
        lambda c: put(_check(c, "ready")["cluster_min_healthy_percentages"], app={"value": 0}),
    ),
    mutation(
        LEDGER, "probe-leads-nowhere", lambda c: put(_check(c, "live"), pass_through_mode=True)
    ),
    mutation(
        LEDGER,
        "probe-leads-nowhere",
        lambda c: (_route(c).pop("direct_response"), put(_route(c), route={"cluster": "app"})),
    ),
    mutation(
        LEDGER, "probe-leads-nowhere", lambda c: _probe(c)["http_filters"].insert(0, dict(_MORE))
    ),
]
