#!/usr/bin/env bash
# Everything that can be said of the files without running the mesh. Called by `make lint`.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
go=$("$bin/python" -c 'from paymesh import paths; from paymesh.setup.toolchain import go_binary; print(go_binary(paths.default_paths()))')

step() { printf -- '– %s\n' "$*"; }

step "ruff"
"$bin/ruff" check --quiet .
"$bin/ruff" format --check --quiet .
step "mypy, strict"
"$bin/mypy" --no-error-summary services deploy/paymesh
deploy/policy-lint.sh
step "go vet, gofmt"
# -trimpath as in the build: the same compiled dependencies serve all three.
(cd policies/pdp && CGO_ENABLED=0 "$go" vet -trimpath ./...)
unformatted=$("$("$go" env GOROOT)/bin/gofmt" -l policies/pdp spire)
test -z "$unformatted" || { echo "not formatted: $unformatted"; exit 1; }
step "every RPC granted or closed"
"$bin/python" -m paymesh.policy.coverage
step "generated files are fresh"
"$bin/paymesh" render --check
"$bin/paymesh" policy matrix --check
step "the independent checker"
"$bin/python" -m paymesh.checker
step "protos, repository rules, Envoy's own validation"
"$bin/python" -m pytest -q tests/repo tests/integration/envoy
