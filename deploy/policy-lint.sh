#!/usr/bin/env bash
# What can be said of the policies without asking them: format, strictness, known traps.
# Called by `make lint` and `make policy-test`.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
pdp=$("$bin/python" -c 'from paymesh import binaries, paths; print(binaries.built(paths.default_paths(), binaries.PDP))')
policies=(policies/paymesh policies/system)

printf -- '– opa fmt, opa check --strict\n'
unformatted=$("$pdp" fmt --list "${policies[@]}")
test -z "$unformatted" || { echo "not formatted: $unformatted: run '$pdp fmt --write'"; exit 1; }
"$pdp" check --strict "${policies[@]}"
printf -- '– known traps of Rego\n'
"$pdp" traps "${policies[@]}" || { echo "meant as it stands? policies/README.md, Tests of the tests"; exit 1; }
if regal=$(command -v regal); then
  printf -- '– Regal: %s\n' "$regal"
  "$regal" lint --config-file deploy/regal.yaml "${policies[@]}"
else
  printf -- '  Regal is not on PATH; its rules are left out\n'
fi
