"""The validations of the admission policy, in CEL, each with what to do about a refusal.

Of several broken rules the API server reports the first: the order is from what
somebody would try to what somebody would overlook.
"""

from __future__ import annotations

import json

from paymesh.mesh import Mesh
from paymesh.render.kubernetes.common import Object

_KEY = "variables.workload + '/' + c.name"
_ROOTS = ("/etc/paymesh/", "/run/paymesh/", "/var/lib/paymesh")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
# A variable `e` as the table `environment` writes it.
_VARIABLE = (
    "(has(e.valueFrom) ? e.name + ' from ' + e.valueFrom.?secretKeyRef.?name.orValue('') + '/' + "
    "e.valueFrom.?secretKeyRef.?key.orValue('') : e.name + '=' + e.?value.orValue(''))"
)


def validations(mesh: Mesh) -> list[Object]:
    """Every rule, with its message."""
    return [*_who(mesh), *_isolation(), *_what(), *_started(), *_environment(), *_secrets()]


def _who(mesh: Mesh) -> list[Object]:
    names = ", ".join(sorted(mesh.workloads))
    return [
        _rule(
            "variables.workload in variables.sidecars && variables.account == variables.workload",
            f"namespace {mesh.namespace} is for its workloads alone: run the pod in another "
            "namespace, or set serviceAccountName and the label app.kubernetes.io/name both to "
            f"one of {names}",
            found="'service account ' + variables.account + ', label ' + variables.workload",
        ),
    ]


def _isolation() -> list[Object]:
    host = " && ".join(
        f"!object.spec.?{field}.orValue(false)"
        for field in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
    )
    return [
        _rule(
            "size(object.spec.?ephemeralContainers.orValue([])) == 0",
            "no debug container joins a workload, whose identity it would have: "
            "debug in another namespace, or read logs and metrics",
        ),
        _rule(
            host,
            "remove hostNetwork, hostPID, hostIPC and shareProcessNamespace: other processes "
            "could read the workload's keys or speak from the node's address",
        ),
        _rule(
            "variables.containers.all(c, c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0))",
            "remove hostPort: workloads are reached through their Service",
        ),
        # Before the volumes, because the API server adds a projected one for the token.
        _rule(
            "!object.spec.?automountServiceAccountToken.orValue(true)",
            "set automountServiceAccountToken to false: a workload has no business with the "
            "Kubernetes API",
        ),
        _rule(
            "variables.volumes.all(v, has(v.configMap) || has(v.secret) || has(v.emptyDir) || "
            "(has(v.csi) && v.csi.driver == 'csi.spiffe.io'))",
            "use volumes of kind configMap, secret, emptyDir and csi with driver csi.spiffe.io "
            "only: no hostPath, no persistent volume, no projected token",
        ),
    ]


def _what() -> list[Object]:
    return [
        _rule(
            "variables.before.map(c, c.name) == variables.sidecars[?variables.workload].orValue([])"
            " && variables.before.all(c, c.?restartPolicy.orValue('') == 'Always')",
            "a workload runs behind its sidecars: put the initContainers there in this order, "
            "each with restartPolicy Always (`paymesh render` writes such a pod)",
            found="'wanted [' + variables.sidecars[?variables.workload].orValue([]).join(', ') "
            "+ '], found [' + variables.before.map(c, c.name).join(', ') + ']'",
        ),
        _rule(
            "object.spec.containers.map(c, c.name) == ['app']",
            "leave one container, `app`: another would share the workload's identity and sockets",
        ),
        _rule(
            "variables.containers.all(c, c.image == variables.images[?c.name].orValue(''))",
            "use the images that the deployment was built with: a new one is deployed with "
            "`paymesh deploy`, which changes this policy too",
            found="variables.containers.filter(c, c.image != variables.images[?c.name].orValue(''))"
            ".map(c, c.name + ': ' + c.image).join(', ')",
        ),
    ]


def _started() -> list[Object]:
    """How the image's program is started, and what else the kubelet does for a container."""
    lists = "c.?command.orValue([]) == variables.commands[?" + _KEY + "].orValue(['none'])"
    arguments = f"variables.arguments[?{_KEY}].orValue(c.?args.orValue([]))"
    exec_probes = " && ".join(f"!c.?{probe}.?exec.hasValue()" for probe in _PROBES)
    hosts = " && ".join(
        f"!c.?{probe}.?{kind}.?host.hasValue()"
        for probe in _PROBES
        for kind in ("httpGet", "tcpSocket")
    )
    return [
        _rule(
            f"variables.containers.all(c, {lists} && c.?args.orValue([]) == {arguments})",
            "leave command and args as rendered: with others the image is another program",
        ),
        _rule(
            f"variables.containers.all(c, !has(c.lifecycle) && !has(c.envFrom) && {exec_probes})",
            "leave out lifecycle hooks, exec probes and envFrom: each of them can run another "
            "program",
        ),
        _rule(
            f"variables.containers.all(c, {hosts})",
            "leave out the host of probes: from the node the kubelet would ask somebody else",
        ),
        _rule(
            "variables.containers.all(c, c.?terminationMessagePath.orValue("
            "'/dev/termination-log') == '/dev/termination-log')",
            "leave out terminationMessagePath: a file would be put there over the image's or a "
            "volume's",
        ),
    ]


def _environment() -> list[Object]:
    """Values too: PAYMESH_PDP_URL says who decides, and who gets the token for asking."""
    rendered = f"variables.environment[?{_KEY}].orValue([])"
    chosen = (
        "c.name == 'app' && 'pdp' in variables.sidecars[?variables.workload].orValue([]) && "
        f"{_VARIABLE} in variables.choices"
    )
    return [
        _rule(
            f"variables.containers.all(c, c.?env.orValue([]).all(e, {_VARIABLE} in {rendered} || "
            f"({chosen})))",
            "leave environment variables as rendered, names and values: others can run another "
            "program, or have it ask and trust somebody else",
        ),
        _rule(
            f"variables.containers.all(c, {rendered}.all(wanted, "
            f"c.?env.orValue([]).exists(e, {_VARIABLE} == wanted)))",
            "leave out none of the rendered environment variables: each of them bounds what the "
            "program does",
        ),
    ]


def _secrets() -> list[Object]:
    own = "variables.secrets[?variables.workload].orValue([])"
    pattern = "variables.configs[?variables.workload].orValue('^$')"
    roots = " || ".join(f"m.mountPath.startsWith('{root}')" for root in _ROOTS)
    holder = "(size(variables.before) == 0 ? 'app' : 'envoy')"
    return [
        _rule(
            f"variables.volumes.all(v, !has(v.secret) || v.secret.?secretName.orValue('') in {own})"
            " && variables.containers.all(c, c.?env.orValue([]).all(e, "
            "!e.?valueFrom.?secretKeyRef.?optional.orValue(false)))",
            "use the workload's own Secret only, and wait for it: those of others are theirs",
        ),
        _rule(
            "variables.volumes.all(v, !has(v.configMap) || "
            f"v.configMap.?name.orValue('').matches({pattern}))",
            "mount the workload's own ConfigMaps only, as rendered",
        ),
        _rule(
            "variables.containers.all(c, !has(c.volumeDevices) && "
            f"c.?volumeMounts.orValue([]).all(m, !m.mountPath.contains('..') && ({roots})))",
            "mount volumes below /etc/paymesh, /run/paymesh and /var/lib/paymesh only: elsewhere "
            "they would replace the image's files",
        ),
        _rule(
            f"variables.containers.all(c, c.name == {holder} || c.?volumeMounts.orValue([]).all(m, "
            "variables.volumes.all(v, v.name != m.name || !has(v.csi))))",
            "mount SPIRE's socket into the container that holds the identity only: envoy, or the "
            "app of a job",
        ),
    ]


def _rule(expression: str, message: str, *, found: str | None = None) -> Object:
    rule = {"expression": expression, "message": message, "reason": "Forbidden"}
    if found is not None:
        # Falls back to `message` where it cannot be evaluated.
        rule["messageExpression"] = f"{json.dumps(message + ' (')} + {found} + ')'"
    return rule
