#!/usr/bin/env bash
# The policies' own tests, and tests of these tests. Called by `make test` and `make policy-test`.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
pdp=$("$bin/python" -c 'from paymesh import binaries, paths; print(binaries.built(paths.default_paths(), binaries.PDP))')

printf -- '– Rego tests, every line of every rule\n'
report=$(mktemp)
trap 'rm -f "$report"' EXIT
# The default of 5 s for each test is short on a busy machine.
test=("$pdp" test --timeout 60s --ignore pdp)
# A run for coverage does not say which test failed; another one does.
"${test[@]}" --coverage --format json policies >"$report" || { "${test[@]}" policies; exit 1; }
"$bin/python" tests/policy/rego_coverage.py <"$report"
printf -- '– mutants: the policies and grants broken on purpose, which the tests have to notice\n'
deploy/mutation-test.sh
