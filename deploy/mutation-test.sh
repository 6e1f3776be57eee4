#!/usr/bin/env bash
# Breaks the policies and the grants on purpose and lists what no test notices. Options are
# those of `paymesh-pdp mutate`: --file PATH, --mutant NUMBER, -o json, --gate PERCENT.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
pdp=$("$bin/python" -c 'from paymesh import binaries, paths; print(binaries.built(paths.default_paths(), binaries.PDP))')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

PYTHONPATH=tests:services:services/_generated "$bin/python" -m policy.mutation "$scratch"
"$pdp" mutate policies --table "$scratch/table.json" --grants "$scratch/grants.json" \
  --equivalent tests/policy/equivalent_mutants.yaml --gate 95 "$@"
