#!/bin/sh
# Storage for a test cluster that has none: a default StorageClass `standard` and local volumes
# on its one node, which is this machine. Safe to run twice.
#
#   tests/k8s/volumes.sh up      the class, and COUNT volumes (default 4) that are free
#   tests/k8s/volumes.sh down    removes all of it, data too
set -eu

HOME_DIR=/var/lib/test-cluster-volumes
COUNT=${COUNT:-4}
LABEL=paymesh.internal/test-volume

class() {
  cat <<YAML
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  labels: {$LABEL: "true"}
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Retain
YAML
}

volume() { # NUMBER NODE
  cat <<YAML
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: test-volume-$1
  labels: {$LABEL: "true"}
spec:
  storageClassName: standard
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  volumeMode: Filesystem
  local: {path: $HOME_DIR/$1}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions:
            - {key: kubernetes.io/hostname, operator: In, values: [$2]}
YAML
}

# A volume whose claim is gone keeps the data and takes no other claim: its data go with it.
forget() { # NUMBER
  kubectl delete persistentvolume "test-volume-$1" --ignore-not-found --wait=true --timeout=60s
  rm -rf "${HOME_DIR:?}/$1"
}

up() {
  nodes=$(kubectl get nodes --output=name | wc -l)
  [ "$nodes" = 1 ] || { echo "volumes.sh: $nodes nodes; this is for one that is this machine" >&2; exit 1; }
  node=$(kubectl get nodes --output=jsonpath='{.items[0].metadata.labels.kubernetes\.io/hostname}')
  class | kubectl apply --filename=-
  number=1
  while [ "$number" -le "$COUNT" ]; do
    phase=$(kubectl get persistentvolume "test-volume-$number" --ignore-not-found --output=jsonpath='{.status.phase}')
    case $phase in Released | Failed) forget "$number" ;; esac
    mkdir -p "$HOME_DIR/$number"
    volume "$number" "$node" | kubectl apply --filename=-
    number=$((number + 1))
  done
}

down() {
  for volume in $(kubectl get persistentvolumes --selector="$LABEL" --output=name); do
    forget "${volume##*-}"
  done
  kubectl delete storageclass --selector="$LABEL" --ignore-not-found
  rm -rf "$HOME_DIR"
}

case ${1:-} in
  up | down) "$1" ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
