"""Pod Security Standards, level `restricted`, control by control.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/, as of
Kubernetes 1.34. Windows is left out but for `hostProcess`.
"""

from __future__ import annotations

from collections.abc import Iterator

from paymesh.checker.kubernetes.build import Object, Pod
from paymesh.checker.walk import at, items

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_PROFILES = ("RuntimeDefault", "Localhost")
_SELINUX_TYPES = (None, "", "container_t", "container_init_t", "container_kvm_t")
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def violations(pod: Pod) -> Iterator[str]:
    """What the level forbids of this pod; nothing if it is admitted."""
    yield from _pod(pod.spec)
    for container in pod.containers:
        context = at(container, "securityContext") or {}
        for problem in (
            *_both_levels(context),
            *_privileges(context),
            *_user(at(pod.spec, "securityContext") or {}, context),
            *_hosts(container),
        ):
            yield f"{container.get('name')}: {problem}"


def _pod(spec: Object) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    for volume in items(spec, "volumes"):
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES:
            yield f"volume {volume.get('name')} is {', '.join(kinds)}"
    context = at(spec, "securityContext") or {}
    yield from _both_levels(context)
    for sysctl in items(context, "sysctls"):
        if at(sysctl, "name") not in _SYSCTLS:
            yield f"sysctl {at(sysctl, 'name')}"


def _both_levels(context: Object) -> Iterator[str]:
    """Controls of the pod's and of a container's security context."""
    if at(context, "windowsOptions", "hostProcess"):
        yield "hostProcess"
    if at(context, "appArmorProfile", "type") not in (None, *_PROFILES):
        yield "AppArmor is off"
    selinux = at(context, "seLinuxOptions") or {}
    if selinux.get("type") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "SELinux options"
    if at(context, "seccompProfile", "type") not in (None, *_PROFILES):
        yield "seccomp is off"
    if at(context, "runAsUser") == 0:
        yield "runs as root"


def _privileges(context: Object) -> Iterator[str]:
    if at(context, "privileged"):
        yield "privileged"
    if at(context, "allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if "ALL" not in items(context, "capabilities", "drop"):
        yield "capabilities are not dropped"
    if not set(items(context, "capabilities", "add")) <= {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if at(context, "procMount") not in (None, "Default"):
        yield "procMount"


def _user(pod: Object, context: Object) -> Iterator[str]:
    """What a container may leave to the pod."""
    non_root = context.get("runAsNonRoot", pod.get("runAsNonRoot"))
    if non_root is not True:
        yield "runAsNonRoot is not true"
    if not at(context, "seccompProfile", "type") and not at(pod, "seccompProfile", "type"):
        yield "no seccomp profile"


def _hosts(container: Object) -> Iterator[str]:
    for port in items(container, "ports"):
        if at(port, "hostPort") or at(port, "hostIP"):
            yield f"hostPort {at(port, 'hostPort')}"
    handlers = [at(container, probe) for probe in _PROBES]
    handlers += [at(container, "lifecycle", hook) for hook in ("preStop", "postStart")]
    for handler in handlers:
        if at(handler, "httpGet", "host") or at(handler, "tcpSocket", "host"):
            yield "a probe or hook names a host"
