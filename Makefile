# Everything a newcomer needs: `make demo`, then `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Long-lived results (the environment's wheels, Go binaries, images) are kept outside the checkout.
export RESNET_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/resnet-launch
UV_VERSION := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' constraints.txt)

.PHONY: help setup demo test check lint types generate verify lock clean
.PHONY: cluster-packages cluster-up cluster-down cluster-status image

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: $(VENV)/.ready  ## create the Python environment from constraints.txt

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --compile-bytecode --constraints constraints.txt -e '.[dev]'
	@touch $@

lock:  ## resolve every pin again (all supported Pythons and extras) into constraints.txt
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command 'make lock' -o constraints.txt

generate:  ## rewrite train_fields.json and manifests/ from the code
	$(BIN)/python tools/generate.py

verify:  ## regenerate into a temporary folder and want no difference
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	  $(BIN)/python tools/generate.py "$$fresh"; \
	  diff -ru manifests "$$fresh/manifests"; \
	  diff -u launcher/train_fields.json "$$fresh/launcher/train_fields.json"

# A real Kubernetes on this machine (Linux, root, Go): docs/test-cluster.md.
TESTCLUSTER = PYTHONPATH=tests/cluster $(BIN)/python -m testcluster

cluster-packages: setup  ## install the Debian packages that the test cluster needs (root)
	$(TESTCLUSTER) packages

cluster-up: cluster-packages  ## start this checkout's test cluster and say how to use it
	$(TESTCLUSTER) up $(CLUSTER_FLAGS)

cluster-down: setup  ## end it, and clear what killed ones left
	$(TESTCLUSTER) down

cluster-status: setup  ## list its components and logs
	$(TESTCLUSTER) status

image: cluster-packages  ## build the images TARGETS="cpu tpu gpu" (default: cpu) and print their sizes
	$(TESTCLUSTER) image $(TARGETS)
