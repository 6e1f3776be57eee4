#!/usr/bin/env bash
# Deploys to the cluster of KUBECONFIG, tests the mesh there and takes it away again.
# Called by `make test-k8s`. A mesh that is there already is somebody's: it is tested
# only with PAYMESH_TEST_REUSE=1, and then it stays.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin

command -v kubectl >/dev/null || { echo "error: kubectl is missing: install it, 1.27 or later"; exit 1; }
kubectl get --raw /readyz >/dev/null || { echo "error: no cluster answers: set KUBECONFIG"; exit 1; }
step() { printf -- '– %s\n' "$*"; }

if kubectl get namespace paymesh >/dev/null 2>&1; then
  [ "${PAYMESH_TEST_REUSE:-}" = 1 ] || {
    echo "error: this cluster has a namespace paymesh: the tests would end by deleting it."
    echo "  To test what is there and leave it: PAYMESH_TEST_REUSE=1 make test-k8s"
    exit 1
  }
  "$bin/python" -m pytest -q tests/k8s
  exit
fi

step "deploying"
"$bin/paymesh" deploy --overlay kind --timeout 600
step "the mesh in the cluster"
status=0
"$bin/python" -m pytest -q tests/k8s || status=$?
step "taking it away"
"$bin/python" -m pytest -q tests/k8s/undeploy.py || status=$?
exit "$status"
