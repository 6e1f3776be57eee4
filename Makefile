# Everything that people and CI run. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PAYMESH := $(BIN)/paymesh
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help setup demo up down check test attack-paths lint policy-test render check-generated images kind-up deploy undeploy test-k8s clean

help: ## List every target
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "%-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock requirements-installer.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than 3.11: set PYTHON=python3.11 or later"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "error: Python has no venv: apt-get install python3-venv"; exit 1; }
	@echo "installing Python packages into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements-installer.lock
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --only-binary :all: -r requirements.lock \
	  || { echo "  uv could not; pip takes a few minutes"; \
	       $(PIP) install --require-hashes --only-binary :all: -r requirements.lock; }
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(STAMP) ## Install and build everything the mesh needs; once
	@$(PAYMESH) setup

demo: setup ## Bring the mesh up, send payments, show what is refused
	@$(PAYMESH) demo

up: setup ## Bring the mesh up and leave it running
	@$(PAYMESH) up

down: $(STAMP) ## Stop the mesh; its data stays
	@$(PAYMESH) down

check: $(STAMP) ## Say what is wrong with the running mesh and how to mend it
	@$(PAYMESH) check

render: $(STAMP) ## Write the files generated from deploy/mesh.yaml, the grants, the rules and the protos
	@$(PAYMESH) render

check-generated: setup ## Fail when a generated file or the access matrix is stale
	@$(PAYMESH) render --check
	@$(PAYMESH) policy matrix --check

lint: setup ## Types, style, policies, protos, generated files, Envoy's own validation
	@deploy/lint.sh

policy-test: setup ## The policies: lint, tests of every line, and mutants that the tests notice
	@deploy/policy-lint.sh
	@deploy/policy-test.sh

test: lint ## Set up and pass every test that this machine can run
	@deploy/test.sh

attack-paths: setup ## Count attack paths: each arm started and attacked; as root
	@$(PAYMESH) attack-paths

images: setup ## Build the container images
	@$(PAYMESH) images

# Of every target below: the kubeconfig's current context unless KUBECONTEXT names one.
KUBECONTEXT ?=
# The overlay that the cluster has, or kind, unless OVERLAY names one.
OVERLAY ?=
CONTEXT := $(if $(KUBECONTEXT),--context "$(KUBECONTEXT)")

kind-up: setup ## Make a kind cluster, load images, deploy, check
	@$(PAYMESH) kind-up

deploy: setup ## Deploy to a cluster: KUBECONTEXT=..., OVERLAY=production
	@$(PAYMESH) deploy $(CONTEXT) $(if $(OVERLAY),--overlay "$(OVERLAY)")

undeploy: $(STAMP) ## Remove from a cluster all that deployments made there; asks
	@$(PAYMESH) undeploy $(CONTEXT)

test-k8s: setup ## Deploy to the cluster of KUBECONFIG, test the mesh there, take it away
	@deploy/test-k8s.sh

clean: ## Remove the virtual environment and caches in the checkout
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
