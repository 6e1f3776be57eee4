"""Breaks objects' shapes, pods, and the workloads' own objects."""

from __future__ import annotations

import copy

from repo_kubernetes_parts import (
    Mutation,
    Object,
    Objects,
    app,
    container,
    mutation,
    one,
    put,
    remove,
    spec,
    stand_in,
    stand_in_container,
    volume,
)

_TOKEN = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
_SECRET: Object = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "payments", "namespace": "paymesh"},
    "data": {"dsn": "c2VjcmV0"},
}
_SPIRE = {"name": "spire", "csi": {"driver": "csi.spiffe.io", "readOnly": True}}


def _mount_token(objects: Objects) -> None:
    stand_in(objects)["volumes"].append(_TOKEN)
    stand_in_container(objects)["volumeMounts"].append({"name": "t", "mountPath": "/t"})


def _another_controller(objects: Objects) -> None:
    added = copy.deepcopy(one(objects, "Deployment", "simulators"))
    added["metadata"]["namespace"] = "paymesh"
    objects.append(added)


SHAPES = [
    mutation("unknown field", "schema-valid", lambda o: put(app(o), imagePullPolcy="Always")),
    mutation(
        "missing field",
        "schema-valid",
        lambda o: one(o, "Service", "bundle-server")["spec"]["ports"][0].pop("port"),
    ),
    mutation(
        "text for a number",
        "schema-valid",
        lambda o: put(one(o, "Deployment", "simulators")["spec"], replicas="1"),
    ),
    mutation(
        "number for a text",
        "schema-valid",
        lambda o: put(one(o, "Deployment", "simulators")["metadata"]["labels"], x=1),
    ),
    mutation(
        "truth for a number",
        "schema-valid",
        lambda o: put(one(o, "Deployment", "simulators")["spec"], replicas=True),
    ),
    mutation("nothing for a list", "schema-valid", lambda o: put(stand_in(o), tolerations=None)),
    mutation("one for a list", "schema-valid", lambda o: put(stand_in(o), tolerations={})),
    mutation("a list for a mapping", "schema-valid", lambda o: put(stand_in(o), nodeSelector=[])),
    mutation(
        "old API",
        "schema-valid",
        lambda o: put(one(o, "PodDisruptionBudget", "bundle-server"), apiVersion="policy/v1beta1"),
    ),
    mutation(
        "no name",
        "schema-valid",
        lambda o: put(one(o, "Service", "bundle-server")["metadata"], name="Bundle_Server"),
    ),
    mutation(
        "twice", "objects-once", lambda o: o.append(one(o, "ServiceAccount", "bundle-server"))
    ),
]


def _context(**values: object) -> Mutation:
    name = "container " + ", ".join(f"{key} {value}" for key, value in values.items())
    return mutation(
        name,
        "pod-security-restricted",
        lambda o: put(stand_in_container(o)["securityContext"], **values),
    )


def _pod(**values: object) -> Mutation:
    name = "pod " + ", ".join(f"{key} {value}" for key, value in values.items())
    return mutation(name, "pod-security-restricted", lambda o: put(stand_in(o), **values))


def _pod_context(**values: object) -> Mutation:
    name = "pod context " + ", ".join(f"{key} {value}" for key, value in values.items())
    return mutation(
        name,
        "pod-security-restricted",
        lambda o: put(stand_in(o)["securityContext"], **values),
    )


# One for each control of the level.
RESTRICTED = [
    _pod(hostNetwork=True),
    _pod(hostPID=True),
    _pod(hostIPC=True),
    _context(privileged=True),
    _context(allowPrivilegeEscalation=True),
    _context(capabilities={}),
    _context(capabilities={"drop": ["ALL"], "add": ["NET_RAW"]}),
    _context(procMount="Unmasked"),
    _context(runAsUser=0),
    _context(runAsNonRoot=False),
    _context(seccompProfile={"type": "Unconfined"}),
    _context(appArmorProfile={"type": "Unconfined"}),
    _context(seLinuxOptions={"type": "spc_t"}),
    _context(seLinuxOptions={"user": "system_u"}),
    _context(windowsOptions={"hostProcess": True}),
    _pod_context(runAsNonRoot=False),
    _pod_context(runAsUser=0),
    _pod_context(seccompProfile={"type": "Unconfined"}),
    _pod_context(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    mutation(
        "no seccomp profile",
        "pod-security-restricted",
        lambda o: stand_in(o)["securityContext"].pop("seccompProfile"),
    ),
    mutation(
        "no word of escalation",
        "pod-security-restricted",
        lambda o: stand_in_container(o)["securityContext"].pop("allowPrivilegeEscalation"),
    ),
    mutation(
        "node's directory",
        "pod-security-restricted",
        lambda o: stand_in(o)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
    ),
    mutation(
        "node's port",
        "pod-security-restricted",
        lambda o: put(stand_in_container(o)["ports"][0], hostPort=443),
    ),
    mutation(
        "probe of another host",
        "pod-security-restricted",
        lambda o: put(stand_in_container(o)["readinessProbe"]["tcpSocket"], host="10.0.0.1"),
    ),
    mutation(
        "before the others",
        "pod-security-restricted",
        lambda o: put(
            stand_in(o),
            initContainers=[
                {
                    **stand_in_container(o),
                    "name": "x",
                    "securityContext": {"readOnlyRootFilesystem": True},
                }
            ],
        ),
    ),
]

PODS = [
    mutation(
        "no part",
        "pods-labelled",
        lambda o: one(o, "Deployment", "simulators")["spec"]["template"]["metadata"]["labels"].pop(
            "app.kubernetes.io/part-of"
        ),
    ),
    mutation("links", "pods-share-nothing", lambda o: stand_in(o).pop("enableServiceLinks")),
    mutation(
        "processes", "pods-share-nothing", lambda o: put(stand_in(o), shareProcessNamespace=True)
    ),
    mutation(
        "token of every pod",
        "token-only-where-listed",
        lambda o: stand_in(o).pop("automountServiceAccountToken"),
    ),
    mutation("token mounted", "token-only-where-listed", _mount_token),
    mutation(
        "the follower's token in the server",
        "token-only-where-listed",
        lambda o: container(o, "bundle-server", "server")["volumeMounts"].append(
            {"name": "api", "mountPath": "/t"}
        ),
    ),
    mutation(
        "no limit",
        "resources-bounded",
        lambda o: stand_in_container(o)["resources"]["limits"].pop("memory"),
    ),
    mutation(
        "nothing asked for",
        "resources-bounded",
        lambda o: stand_in_container(o)["resources"]["requests"].pop("cpu"),
    ),
    mutation(
        "root written",
        "root-read-only",
        lambda o: put(stand_in_container(o)["securityContext"], readOnlyRootFilesystem=False),
    ),
    *(
        mutation(
            f"image {image}",
            "images-pinned",
            lambda o, image=image: put(stand_in_container(o), image=image),  # type: ignore[misc]
        )
        for image in ("x:latest", "x", "registry.example:5000/x", "x:")
    ),
    mutation(
        "namespace without a level",
        "namespace-enforces-pod-security",
        lambda o: one(o, "Namespace", "paymesh")["metadata"]["labels"].pop(
            "pod-security.kubernetes.io/enforce"
        ),
    ),
    mutation(
        "a level too low",
        "namespace-enforces-pod-security",
        lambda o: put(
            one(o, "Namespace", "spire-server")["metadata"]["labels"],
            **{"pod-security.kubernetes.io/enforce": "baseline"},
        ),
    ),
    mutation("a secret", "no-secrets-in-files", lambda o: o.append(_SECRET)),
]

WORKLOADS = [
    mutation(
        "another pod beside the workloads",
        "one-controller-each own-uid admission-images",
        _another_controller,
    ),
    mutation(
        "another's uid",
        "own-uid",
        lambda o: put(spec(o, "payments")["securityContext"], runAsUser=58703),
    ),
    mutation(
        "another kind",
        "controller-kind schema-valid",
        lambda o: put(one(o, "Deployment", "payments"), kind="ReplicaSet"),
    ),
    mutation(
        "Envoy before the PDP",
        "sidecars-in-order admission-tables-equal-pods",
        lambda o: spec(o, "payments")["initContainers"].reverse(),
    ),
    mutation(
        "not waited for",
        "sidecars-native",
        lambda o: container(o, "payments", "pdp").pop("startupProbe"),
    ),
    mutation(
        "ends before the app",
        "sidecars-native",
        lambda o: container(o, "payments", "envoy").pop("restartPolicy"),
    ),
    mutation(
        "a port of the app's",
        "app-without-port",
        lambda o: put(app(o), ports=[{"containerPort": 8080}]),
    ),
    mutation(
        "probe of another port",
        "probes-open-nothing",
        lambda o: put(app(o)["livenessProbe"]["httpGet"], port=8080),
    ),
    mutation(
        "probe that runs something",
        "probes-open-nothing",
        lambda o: put(app(o), livenessProbe={"exec": {"command": ["true"]}}),
    ),
    mutation(
        "hook",
        "probes-open-nothing",
        lambda o: put(app(o), lifecycle={"preStop": {"exec": {"command": ["true"]}}}),
    ),
    mutation(
        "the app holds the identity",
        "identity-held-by-envoy",
        lambda o: app(o)["volumeMounts"].append({"name": "spire", "mountPath": "/s"}),
    ),
    mutation(
        "written beside the socket",
        "identity-volume-read-only",
        lambda o: volume(o, "payments", "spire")["csi"].pop("readOnly"),
    ),
    mutation(
        "an identity for another",
        "identity-for-workloads-only",
        lambda o: stand_in(o)["volumes"].append(_SPIRE),
    ),
    mutation(
        "another's Secret",
        "own-secrets-only admission-tables-equal-pods",
        lambda o: put(volume(o, "payments", "app-secrets")["secret"], secretName="ledger"),
    ),
    mutation(
        "all of an object",
        "own-secrets-only",
        lambda o: put(app(o), envFrom=[{"secretRef": {"name": "payments"}}]),
    ),
    mutation(
        "sockets on a disk",
        "sockets-in-memory",
        lambda o: volume(o, "payments", "run")["emptyDir"].pop("medium"),
    ),
    mutation("sockets elsewhere", "sockets-in-memory", lambda o: put(app(o), workingDir="/tmp")),
    mutation(
        "another's account",
        "own-service-account",
        lambda o: put(spec(o, "payments"), serviceAccountName="ledger"),
    ),
    mutation(
        "an account with a token",
        "own-service-account",
        lambda o: one(o, "ServiceAccount", "ledger", "paymesh").pop("automountServiceAccountToken"),
    ),
    mutation(
        "one goes before one comes",
        "rollout-without-loss",
        lambda o: put(
            one(o, "Deployment", "ledger")["spec"]["strategy"]["rollingUpdate"], maxUnavailable=1
        ),
    ),
    mutation(
        "one alone",
        "disruption-budget",
        lambda o: put(one(o, "Deployment", "ledger")["spec"], replicas=1),
    ),
    mutation(
        "no budget", "disruption-budget", lambda o: remove(o, "PodDisruptionBudget", "ledger")
    ),
    mutation(
        "none may go",
        "disruption-budget",
        lambda o: put(one(o, "PodDisruptionBudget", "ledger")["spec"], minAvailable=2),
    ),
    mutation(
        "killed in the drain",
        "drains-in-time",
        lambda o: put(spec(o, "ledger"), terminationGracePeriodSeconds=30),
    ),
    mutation(
        "not drained",
        "drains-in-time admission-tables-equal-pods",
        lambda o: put(
            app(o), env=[e for e in app(o)["env"] if e["name"] != "PAYMESH_DRAIN_SECONDS"]
        ),
    ),
    mutation(
        "all on one node",
        "spread-over-nodes",
        lambda o: spec(o, "ledger").pop("topologySpreadConstraints"),
    ),
    mutation(
        "another port",
        "service-ports",
        lambda o: put(one(o, "Service", "ledger")["spec"]["ports"][0], targetPort=8080),
    ),
    mutation(
        "no balance",
        "service-selects-its-pods",
        lambda o: one(o, "Service", "ledger")["spec"].pop("clusterIP"),
    ),
    mutation(
        "pods that are not ready",
        "service-selects-its-pods",
        lambda o: put(one(o, "Service", "ledger")["spec"], publishNotReadyAddresses=True),
    ),
    mutation(
        "a service outside",
        "only-the-gateway-outside",
        lambda o: put(one(o, "Service", "ledger")["spec"], type="NodePort"),
    ),
]
