"""Breaks the network, the admission policy, and the identities."""

from __future__ import annotations

import json
from typing import Any

from repo_kubernetes_parts import (
    Mutation,
    Object,
    Objects,
    admission,
    app,
    binding,
    container,
    identity,
    mutation,
    one,
    policy,
    put,
    remove,
    variable,
)

_NAME = "app.kubernetes.io/name"
_DSN = "/etc/paymesh/secrets/dsn"
_EVERYBODY: Object = {"podSelector": {}}
_BOTH = "egress-equals-grants ingress-equals-grants"


def _rule(objects: Objects, name: str, direction: str, index: int = 0) -> Object:
    found: Object = policy(objects, name)[direction][index]
    return found


def _to_bundle_server(objects: Objects) -> Object:
    found: Object = _rule(objects, "ledger", "egress")["to"][0]
    return found


def _own_address(objects: Objects) -> Object:
    """The address block that end users come from."""
    found: Object = _rule(objects, "gateway", "ingress")["from"][0]["ipBlock"]
    return found


NETWORK = [
    mutation(
        "no default: a job that nobody calls is open",
        "default-deny ingress-equals-grants",
        lambda o: remove(o, "NetworkPolicy", "default-deny", "paymesh"),
    ),
    mutation(
        "a default for one way",
        "default-deny",
        lambda o: put(policy(o, "default-deny", "paymesh-platform"), policyTypes=["Ingress"]),
    ),
    mutation(
        "a pod that no policy names",
        "default-deny egress-equals-grants ingress-equals-grants",
        lambda o: [
            remove(o, "NetworkPolicy", name, "paymesh-outside")
            for name in ("default-deny", "simulators")
        ],
    ),
    mutation(
        "everything in",
        "no-rule-for-everything ingress-equals-grants",
        lambda o: policy(o, "ledger")["ingress"].append({}),
    ),
    mutation(
        "everything out",
        "no-rule-for-everything egress-equals-grants",
        lambda o: policy(o, "ledger")["egress"].append({}),
    ),
    mutation(
        "every port",
        "no-rule-for-everything ingress-equals-grants",
        lambda o: _rule(o, "ledger", "ingress").pop("ports"),
    ),
    mutation(
        "many ports",
        "no-rule-for-everything",
        lambda o: put(_rule(o, "ledger", "ingress")["ports"][0], endPort=65535),
    ),
    mutation(
        "every pod of the namespace",
        "no-rule-for-everything ingress-equals-grants",
        lambda o: _rule(o, "ledger", "ingress")["from"].append(_EVERYBODY),
    ),
    mutation(
        "a caller too many",
        "ingress-equals-grants",
        lambda o: _rule(o, "bank-link", "ingress")["from"][0]["podSelector"]["matchExpressions"][0][
            "values"
        ].append("ledger"),
    ),
    mutation(
        "a caller too few",
        "ingress-equals-grants",
        lambda o: _rule(o, "ledger", "ingress")["from"][0]["podSelector"]["matchExpressions"][0][
            "values"
        ].remove("statements"),
    ),
    mutation(
        "everybody but one",
        "ingress-equals-grants",
        lambda o: put(
            _rule(o, "ledger", "ingress")["from"][0]["podSelector"]["matchExpressions"][0],
            operator="NotIn",
            values=["bank-link"],
        ),
    ),
    mutation(
        "whoever has a name",
        "ingress-equals-grants",
        lambda o: put(
            _rule(o, "ledger", "ingress")["from"][0],
            podSelector={"matchExpressions": [{"key": _NAME, "operator": "Exists"}]},
        ),
    ),
    mutation(
        "whoever has no such label",
        "ingress-equals-grants",
        lambda o: put(
            _rule(o, "ledger", "ingress")["from"][0],
            podSelector={"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]},
        ),
    ),
    mutation(
        "the same names of every namespace",
        "ingress-equals-grants",
        lambda o: put(_rule(o, "ledger", "ingress")["from"][0], namespaceSelector={}),
    ),
    mutation(
        "a way out too many",
        "egress-equals-grants",
        lambda o: policy(o, "ledger")["egress"].append(_rule(o, "payments", "egress", 2)),
    ),
    mutation(
        "the callee's side is missing",
        "ingress-equals-grants",
        lambda o: policy(o, "bank-link").update(policyTypes=["Egress"]),
    ),
    mutation(
        "the caller's side is missing",
        "egress-equals-grants addresses-listed",
        lambda o: policy(o, "payments-providers").update(
            egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}]
        ),
    ),
    mutation(
        "another port of the callee",
        "ingress-equals-grants",
        lambda o: put(_rule(o, "ledger", "ingress")["ports"][0], port=15021),
    ),
    mutation(
        "another namespace's bundle server",
        "egress-equals-grants",
        lambda o: _to_bundle_server(o).pop("namespaceSelector"),
    ),
    mutation(
        "PostgreSQL for all of the namespace",
        "ingress-equals-grants",
        lambda o: policy(o, "postgres", "paymesh-platform")["ingress"][0]["from"][0].update(
            podSelector={"matchLabels": {"app.kubernetes.io/part-of": "paymesh"}}
        ),
    ),
    mutation(
        "an address more",
        "addresses-listed",
        lambda o: _rule(o, "gateway", "ingress")["from"].append({"ipBlock": {"cidr": "::/0"}}),
    ),
    mutation(
        "addresses at another port",
        "addresses-listed",
        lambda o: _rule(o, "gateway", "ingress")["ports"].append({"port": 15021}),
    ),
    mutation(
        "some addresses only",
        "addresses-listed",
        lambda o: put(_own_address(o), **{"except": ["10.0.0.0/8"]}),
    ),
    mutation(
        "a way to the Internet",
        "addresses-listed",
        lambda o: policy(o, "ledger")["egress"].append(
            {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}
        ),
    ),
]


def _condition(objects: Objects, expression: str) -> None:
    admission(objects)["matchConditions"][0]["expression"] = expression


def _table(name: str, change: Any) -> Mutation:
    def apply(objects: Objects) -> None:
        found = variable(objects, name)
        value = json.loads(found["expression"])
        change(value)
        found["expression"] = json.dumps(value)

    return mutation(f"table {name}", "admission-tables-equal-pods", apply)


def _without(part: str) -> Mutation:
    def apply(objects: Objects) -> None:
        found = admission(objects)
        found["validations"] = [v for v in found["validations"] if part not in v["expression"]]

    return mutation(f"nothing looks at {part}", "admission-looks-at-everything", apply)


def _env(found: Object, name: str) -> Object:
    variable: Object = next(v for v in found["env"] if v["name"] == name)
    return variable


def _digest(objects: Objects) -> Object:
    return _env(container(objects, "payments", "pdp"), "PAYMESH_PDP_TOKEN_SHA256")


def _constraints(objects: Objects) -> Object:
    found: Object = admission(objects)["matchConstraints"]
    return found


ADMISSION = [
    mutation(
        "no policy",
        "one-admission-policy",
        lambda o: remove(o, "ValidatingAdmissionPolicy", "paymesh-pods"),
    ),
    mutation(
        "errors let in",
        "admission-fails-closed",
        lambda o: put(admission(o), failurePolicy="Ignore"),
    ),
    mutation(
        "updates not looked at",
        "admission-covers-pods",
        lambda o: _constraints(o)["resourceRules"][0]["operations"].remove("UPDATE"),
    ),
    mutation(
        "debug containers not looked at",
        "admission-covers-pods",
        lambda o: _constraints(o)["resourceRules"][0]["resources"].remove(
            "pods/ephemeralcontainers"
        ),
    ),
    mutation(
        "another namespace",
        "admission-covers-pods",
        lambda o: put(_constraints(o)["namespaceSelector"], matchLabels={"x": "y"}),
    ),
    mutation(
        "a label lets in",
        "admission-covers-pods",
        lambda o: put(_constraints(o), objectSelector={"matchLabels": {"x": "y"}}),
    ),
    mutation(
        "exceptions",
        "admission-covers-pods",
        lambda o: put(_constraints(o), excludeResourceRules=_constraints(o)["resourceRules"]),
    ),
    mutation(
        "a condition lets in",
        "admission-covers-pods",
        lambda o: _condition(o, "!('skip' in object.metadata.labels)"),
    ),
    *(
        _without(part)
        for part in (
            "variables.account",
            "hostNetwork",
            "hostPort",
            "ephemeralContainers",
            "csi.spiffe.io",
            "automountServiceAccountToken",
            "restartPolicy",
            "object.spec.containers.map",
            "c.image",
            "variables.commands",
            "variables.environment",
            ".all(wanted",
            "c.?readinessProbe.?httpGet.?host",
            "terminationMessagePath",
            "variables.secrets",
            "variables.configs",
            "m.mountPath",
        )
    ),
    mutation(
        "silent refusal",
        "admission-says-why",
        lambda o: admission(o)["validations"][2].pop("message"),
    ),
    _table("sidecars", lambda t: t["gateway"].clear()),
    _table("commands", lambda t: t["ledger/app"].append("x")),
    _table("arguments", lambda t: t["ledger/envoy"].pop()),
    _table("environment", lambda t: t["ledger/app"].append("LD_PRELOAD")),
    _table("environment", lambda t: t["ledger/app"].remove("PAYMESH_DSN_FILE=" + _DSN)),
    _table("environment", lambda t: put(t, **{"ledger/pdp": []})),
    _table("secrets", lambda t: t["ledger"].append("payments")),
    _table("configs", lambda t: t.update(ledger=".*")),
    _table("configs", lambda t: t.update(ledger="^x$")),
    mutation(
        "a variable that is not rendered",
        "admission-tables-equal-pods",
        lambda o: app(o)["env"].append({"name": "HTTPS_PROXY", "value": "x"}),
    ),
    mutation(
        "a value that is not rendered",
        "admission-tables-equal-pods",
        lambda o: put(_env(app(o), "PAYMESH_PDP_URL"), value="http://pdp.example:443"),
    ),
    mutation(
        "another key of the Secret",
        "admission-tables-equal-pods",
        lambda o: put(_digest(o)["valueFrom"]["secretKeyRef"], key="pdp-token"),
    ),
    mutation(
        "traces that are refused",
        "admission-choices",
        lambda o: app(o)["env"].append(
            {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://x:4317"}
        ),
    ),
    mutation(
        "traces allowed to anywhere",
        "admission-choices",
        lambda o: put(variable(o, "traces"), expression="'http://x:4317'"),
    ),
    mutation(
        "one more choice",
        "admission-choices",
        lambda o: put(variable(o, "choices"), expression="['LD_PRELOAD=x']"),
    ),
    mutation(
        "warnings only", "admission-bound", lambda o: put(binding(o), validationActions=["Warn"])
    ),
    mutation(
        "parameters that get lost",
        "admission-bound",
        lambda o: put(admission(o), paramKind={"apiVersion": "v1", "kind": "ConfigMap"}),
    ),
    mutation(
        "bound for some",
        "admission-bound",
        lambda o: put(binding(o), matchResources={"objectSelector": {"matchLabels": {"x": "y"}}}),
    ),
    mutation(
        "another image allowed",
        "admission-images",
        lambda o: put(variable(o, "appImage"), expression="'x:1'"),
    ),
    mutation(
        "no image allowed",
        "admission-images",
        lambda o: put(variable(o, "images"), expression="{}"),
    ),
    mutation(
        "another image run",
        "admission-images",
        lambda o: put(container(o, "ledger", "envoy"), image="x:1"),
    ),
]

IDENTITIES = [
    mutation(
        "one missing",
        "identities-match-workloads",
        lambda o: remove(o, "ClusterSPIFFEID", "paymesh-ledger"),
    ),
    mutation(
        "one too many",
        "identities-match-workloads",
        lambda o: o.append(
            {
                **one(o, "ClusterSPIFFEID", "paymesh-ledger"),
                "metadata": {"name": "paymesh-other"},
            }
        ),
    ),
    mutation(
        "one without a pod",
        "identities-match-workloads schema-valid",
        lambda o: o.append(
            {
                "apiVersion": "spire.spiffe.io/v1alpha1",
                "kind": "ClusterStaticEntry",
                "metadata": {"name": "x"},
            }
        ),
    ),
    mutation(
        "a class that nobody looks at",
        "identity-class",
        lambda o: put(identity(o), className="other"),
    ),
    mutation(
        "another's name",
        "identity-name",
        lambda o: put(
            identity(o), spiffeIDTemplate="spiffe://{{ .TrustDomain }}/ns/paymesh/sa/payments"
        ),
    ),
    mutation(
        "another's DNS name",
        "identity-dns-names",
        lambda o: identity(o)["dnsNameTemplates"].append("payments.{{ .TrustDomain }}"),
    ),
    mutation(
        "every namespace", "identity-selectors", lambda o: put(identity(o), namespaceSelector={})
    ),
    mutation(
        "every service account",
        "identity-selectors",
        lambda o: identity(o)["workloadSelectorTemplates"].pop(1),
    ),
    mutation(
        "every container",
        "identity-selectors",
        lambda o: identity(o)["workloadSelectorTemplates"].pop(2),
    ),
    mutation("a long life", "identity-lifetimes", lambda o: put(identity(o), ttl="720h")),
    mutation(
        "administrates SPIRE", "identity-without-power", lambda o: put(identity(o), admin=True)
    ),
]
