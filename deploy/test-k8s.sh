#!/usr/bin/env bash
# Deploys to the cluster of KUBECONFIG, tests the mesh there and takes it away again.
# Called by `make test-k8s`. A mesh that is there already is somebody's: it is tested
# only with PAYMESH_TEST_REUSE=1, and then it stays. What the tests deployed goes at the end,
# however far they came; PAYMESH_TEST_KEEP=1 leaves it where they stop, to be looked at.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin

[ -z "${KUBECONTEXT:-}" ] || { echo "error: test-k8s uses the current context: set KUBECONFIG"; exit 1; }
command -v kubectl >/dev/null || { echo "error: kubectl is missing: install it, 1.27 or later"; exit 1; }
kubectl get --raw /readyz >/dev/null || { echo "error: no cluster answers: set KUBECONFIG"; exit 1; }
step() { printf -- '– %s\n' "$*"; }

# Those by the label too: data that somebody kept stands in a namespace of its own.
there=$(kubectl get namespaces --selector app.kubernetes.io/part-of=paymesh --output name)
if [ -n "$there" ] || kubectl get namespace paymesh >/dev/null 2>&1; then
  [ "${PAYMESH_TEST_REUSE:-}" = 1 ] || {
    echo "error: this cluster has namespaces of a mesh: the tests would end by deleting them."
    echo "  To test what is there and leave it: PAYMESH_TEST_REUSE=1 make test-k8s"
    exit 1
  }
  "$bin/python" -m pytest -q tests/k8s
  exit
fi

take_away() {
  local status=$?
  trap - EXIT
  if [ "${PAYMESH_TEST_KEEP:-}" = 1 ]; then
    step "left where it is: \`paymesh undeploy\` takes it away"
  else
    step "taking it away"
    "$bin/paymesh" undeploy --yes || [ "$status" != 0 ] || status=1
  fi
  exit "$status"
}
trap take_away EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "deploying"
"$bin/paymesh" deploy --overlay kind --timeout 600
step "the mesh in the cluster"
status=0
"$bin/python" -m pytest -q tests/k8s || status=$?
[ "$status" = 0 ] || [ "${PAYMESH_TEST_KEEP:-}" != 1 ] || exit "$status"
step "undeploying"
if "$bin/python" -m pytest -q tests/k8s/undeploy.py; then trap - EXIT; else status=1; fi
exit "$status"
