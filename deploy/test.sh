#!/usr/bin/env bash
# Every test that this machine can run; `make test` has run lint.sh before.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
go=$("$bin/python" -c 'from paymesh import paths; from paymesh.setup.toolchain import go_binary; print(go_binary(paths.default_paths()))')

printf -- '– Go tests of the policy decision point\n'
(cd policies/pdp && CGO_ENABLED=0 "$go" test -trimpath ./...)
deploy/policy-test.sh
printf -- '– Python tests\n'
"$bin/python" -m pytest -q --ignore=tests/repo --ignore=tests/integration/envoy --ignore=tests/e2e --ignore=tests/k8s
# Apart, because they set the environment of a whole mesh.
printf -- '– the running mesh\n'
exec "$bin/python" -m pytest -q tests/e2e
