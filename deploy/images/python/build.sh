#!/bin/sh
# The steps of the Dockerfile beside this file that are more than one command:
# environment | packages LOCK [LEFT_OUT] | sources
set -eu
ENVIRONMENT=/opt/paymesh/venv SOURCES=/opt/paymesh/src

compile() {
  # Here, because a container's root is read-only; by content, because copies have other times.
  "$ENVIRONMENT/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$1"
}

site() { # where the environment has its packages
  "$ENVIRONMENT/bin/python" -c 'import site; print(site.getsitepackages()[0])'
}

case $1 in
  environment)
    # pip has an environment of its own, so that no image has pip.
    python3 -m venv /build/pip
    python3 -m venv --without-pip "$ENVIRONMENT"
    echo "$SOURCES" > "$(site)/paymesh.pth"
    ;;
  packages)
    /build/pip/bin/pip --python "$ENVIRONMENT/bin/python" install --quiet --no-cache-dir \
      --no-compile --require-hashes --only-binary :all: --requirement "$2"
    [ -z "${3:-}" ] || rm -r "$(site)/$3"
    compile "$ENVIRONMENT/lib"
    ;;
  sources)
    # Types and what helps tests are for developers.
    find "$SOURCES" \( -name testing -o -name testing.py -o -name '*.pyi' -o -name __pycache__ \) \
      -prune -exec rm -r {} +
    chmod -R u=rwX,go=rX "$SOURCES"
    compile "$SOURCES"
    ;;
  *)
    echo "usage: build.sh environment | packages LOCK [LEFT_OUT] | sources" >&2
    exit 2
    ;;
esac
