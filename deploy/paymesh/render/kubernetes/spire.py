"""SPIRE's configuration in a cluster: server, agent and controller manager.

Identities are the same as on one machine; what differs is how a node and a
process prove what they are: k8s_psat for the agent, the kubelet's word for a pod.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from paymesh.mesh import Mesh
from paymesh.render.kubernetes.identities import CLASS_NAME
from paymesh.render.spire import AGENT_LINES, authority, quote

DIRECTORY = Path("deploy/k8s/components/spire/config")
VERIFIED_DIRECTORY = Path("deploy/k8s/components/spire-verified-kubelet/config")

# Part of every agent's SPIFFE ID.
CLUSTER = "paymesh"
AGENT = "spire-agent"
BUNDLE = ("spire-bundle", "bundle.crt")

_DATA = Path("/run/spire/data")
_SERVER_SOCKET = Path("/run/spire/server/private/api.sock")
# On the node too: the CSI driver mounts this very directory into the workloads' pods.
AGENT_SOCKET = Path("/run/spire/agent-sockets/api.sock")
_AGENT_TOKEN = Path("/run/spire/tokens/node")
_KUBELET_TOKEN = Path("/run/spire/tokens/kubelet")
_CLUSTER_CA = Path("/run/spire/tokens/ca.crt")
_HEALTH_PORT = 8080
_MANAGER_HEALTH_PORT = 8083
_IGNORED_NAMESPACES = ("^kube-",)


def files(mesh: Mesh, header: str) -> dict[Path, bytes]:
    """The configuration files by repository-relative path.

    Args:
        mesh: trust domain, lifetimes, namespaces and ports.
        header: comment lines that say that nobody edits these files.
    """
    return {
        DIRECTORY / "server.conf": (header + server_conf(mesh)).encode(),
        DIRECTORY / "agent.conf": (header + agent_conf(mesh)).encode(),
        VERIFIED_DIRECTORY / "agent.conf": (
            header + agent_conf(mesh, verify_kubelet=True)
        ).encode(),
        DIRECTORY / "controller-manager.yaml": (
            header + yaml.safe_dump(controller_manager(mesh), sort_keys=False)
        ).encode(),
    }


def server_conf(mesh: Mesh) -> str:
    """`server.conf`: sqlite and keys on the server's own volume, agents by k8s_psat.

    Several agents have several addresses here, so that the limit on attestations,
    one a second for each, stands.
    """
    namespaces = mesh.kubernetes.namespaces
    agent = f"{namespaces['spire_system']}:{AGENT}"
    return f"""server {{
  bind_address = "0.0.0.0"
  bind_port = "{mesh.kubernetes.ports["spire_server"]}"
  socket_path = {quote(_SERVER_SOCKET)}
  trust_domain = {quote(mesh.trust_domain)}
  data_dir = {quote(_DATA)}
{authority(mesh)}
  # Nodes come and go: a record of one is kept for a day after its last SVID.
  prune_attested_nodes_expired_for = "24h"
}}

plugins {{
  DataStore "sql" {{
    plugin_data {{
      database_type = "sqlite3"
      connection_string = {quote(_DATA / "datastore.sqlite3")}
    }}
  }}
  KeyManager "disk" {{
    plugin_data {{
      keys_path = {quote(_DATA / "keys.json")}
    }}
  }}
  NodeAttestor "k8s_psat" {{
    plugin_data {{
      clusters = {{
        {quote(CLUSTER)} = {{
          service_account_allow_list = [{quote(agent)}]
          audience = ["spire-server"]
        }}
      }}
    }}
  }}
  # What an agent trusts at its first contact.
  BundlePublisher "k8s_configmap" {{
    plugin_data {{
      clusters = {{
        {quote(CLUSTER)} = {{
          namespace = {quote(namespaces["spire_system"])}
          configmap_name = {quote(BUNDLE[0])}
          configmap_key = {quote(BUNDLE[1])}
          format = "pem"
        }}
      }}
    }}
  }}
}}

{_health_checks()}"""


def agent_conf(mesh: Mesh, *, verify_kubelet: bool = False) -> str:
    """`agent.conf`: one agent for each node.

    Args:
        mesh: trust domain, and where the server is.
        verify_kubelet: the kubelet's certificate is signed by the cluster's CA and names
            the node's address. Off because kubeadm's and kind's sign their own.
    """
    server = mesh.cluster_name("spire-server", mesh.kubernetes.namespaces["spire_server"])
    kubelet = (
        f"kubelet_ca_path = {quote(_CLUSTER_CA)}"
        if verify_kubelet
        else "skip_kubelet_verification = true"
    )
    return f"""agent {{
  server_address = {quote(server + ".")}
  server_port = "{mesh.kubernetes.ports["spire_server"]}"
  socket_path = {quote(AGENT_SOCKET)}
  trust_domain = {quote(mesh.trust_domain)}
  trust_bundle_path = {quote(Path("/run/spire/bundle") / BUNDLE[1])}
  data_dir = {quote(_DATA)}
{AGENT_LINES}
}}

plugins {{
  NodeAttestor "k8s_psat" {{
    plugin_data {{
      cluster = {quote(CLUSTER)}
      token_path = {quote(_AGENT_TOKEN)}
    }}
  }}
  # A restarted agent attests itself again with a fresh token: nothing stays on the node.
  KeyManager "memory" {{
    plugin_data {{}}
  }}
  WorkloadAttestor "k8s" {{
    plugin_data {{
      # The node's address, not its name: pods cannot resolve node names everywhere.
      node_name_env = "NODE_ADDRESS"
      token_path = {quote(_KUBELET_TOKEN)}
      {kubelet}
    }}
  }}
}}

{_health_checks()}"""


def _health_checks() -> str:
    """For the kubelet; the answers say live or not, and nothing else."""
    return f"""health_checks {{
  listener_enabled = true
  bind_address = "0.0.0.0"
  bind_port = "{_HEALTH_PORT}"
  live_path = "/live"
  ready_path = "/ready"
}}
"""


def controller_manager(mesh: Mesh) -> dict[str, Any]:
    """The controller manager's configuration.

    It sees pods of the mesh's own namespace only, so that no other pod can be
    given an identity, whatever a ClusterSPIFFEID selects.
    """
    return {
        "apiVersion": "spire.spiffe.io/v1alpha1",
        "kind": "ControllerManagerConfig",
        "className": CLASS_NAME,
        "watchClassless": False,
        "clusterName": CLUSTER,
        "clusterDomain": mesh.kubernetes.cluster_domain,
        "trustDomain": mesh.trust_domain,
        "cacheNamespaces": {mesh.namespace: {}},
        "ignoreNamespaces": list(_IGNORED_NAMESPACES),
        "spireServerSocketPath": str(_SERVER_SOCKET),
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": f"0.0.0.0:{_MANAGER_HEALTH_PORT}"},
    }
