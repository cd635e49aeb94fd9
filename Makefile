# Everything a newcomer needs: `make demo`, then `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV_INSTALL = VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet
# Long-lived results (the environment's wheels, Go binaries, images) are kept outside the checkout.
export RESNET_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/resnet-launch
# Processes that run tests: one more than cores, since those that wait for the test cluster leave theirs idle.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.PHONY: help setup demo test quick soak check lint types test-packages test-pythons generate verify charts lock sbom clean
.PHONY: cluster-packages cluster-up cluster-down cluster-status image

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

setup: $(VENV)/.ready  ## create the Python environment from constraints.txt

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' constraints.txt > $(VENV)/uv.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.txt
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --extra dev --constraints constraints.txt --no-annotate \
	  --no-header pyproject.toml | $(BIN)/python tools/requirements.py constraints.txt > $(VENV)/requirements.txt
	$(UV_INSTALL) --compile-bytecode --require-hashes --only-binary :all: --requirement $(VENV)/requirements.txt
	$(UV_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## train a ResNet on real images, on this machine, through the launcher
	$(BIN)/resnet-launch local --slice cpu-2x1 --arch resnet18 --data digits

# The test cluster's Go programs are built at the same time if the cache lacks them, which saves half an hour of
# a first run. `setsid` puts the build into a group that ends with this command.
test: setup test-packages  ## set up and run every test that this machine can run
	@mkdir -p $(RESNET_CACHE); \
	  setsid nice -n 19 env $(TESTCLUSTER) tools > $(RESNET_CACHE)/tools.log 2>&1 & build=$$!; \
	  trap 'kill -- -$$build 2> /dev/null || true' EXIT; \
	  $(BIN)/python tools/second_chance.py -n $(WORKERS) $(PYTEST_FLAGS)

quick: setup  ## the tests that need no cluster and no long compilation: under three minutes
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not soak and not slow' --ignore tests/cluster $(PYTEST_FLAGS)

soak: setup  ## twenty random faults over one run (half an hour), images for TPUs and GPUs built by Docker (10 GB)
	$(BIN)/python -m pytest -m soak tests/cluster/test_docker.py tests/cluster/test_soak.py -s

check: setup lint types verify test  ## everything: style, types, generated files, tests

lint: setup  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## pyright
	$(BIN)/pyright

test-packages:  ## install Debian packages for tests (Fashion-MNIST, a browser, PyTorch) where possible
	@missing=""; \
	  [ -d /usr/share/datasets/fashion-mnist ] || missing+=" dataset-fashion-mnist"; \
	  command -v chromium-headless-shell > /dev/null || command -v chromium > /dev/null \
	    || command -v google-chrome > /dev/null || missing+=" chromium-headless-shell"; \
	  /usr/bin/python3 -c 'import torch' 2> /dev/null || missing+=" python3-torch"; \
	  if [ "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    apt-get update -qq; \
	    for package in $$missing; do \
	      DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$package > /dev/null \
	        || echo "$$package cannot be installed here: tests that need it are skipped"; \
	    done; \
	  fi

# The Pythons of `make test-pythons`; those that are not here are named and skipped.
PYTHONS ?= 3.11 3.12 3.13 3.14
test-pythons: setup  ## run the tests of launcher and trainer on PYTHONS="3.12 3.13"
	$(BIN)/python tools/pythons.py $(PYTHONS) -- -n $(WORKERS) $(PYTEST_FLAGS)

clean:  ## remove what this Makefile makes in the checkout (not the cache, not runs/)
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

lock:  ## resolve every pin again (all supported Pythons and extras) into constraints.txt
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command 'make lock' -o constraints.txt

sbom: setup  ## write dist/sbom-KIND.cdx.json: what the images contain, with hashes
	@mkdir -p dist; set -o pipefail; for kind in cpu tpu gpu; do extra=$${kind/cpu/train}; \
	  $(BIN)/uv pip compile --quiet --python-version 3.13 --extra $$extra --extra tensorboard \
	    --constraints constraints.txt --no-annotate --no-header pyproject.toml \
	    | $(BIN)/python tools/requirements.py constraints.txt | $(BIN)/python tools/sbom.py > dist/sbom-$$kind.cdx.json; \
	  echo dist/sbom-$$kind.cdx.json; done

generate: setup  ## rewrite what is generated: contract.json, chips.json, docs/reference/, manifests/, helm/
	$(BIN)/python tools/generate.py

verify: setup  ## regenerate into a temporary folder and fail if anything differs
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	  $(BIN)/python tools/generate.py "$$fresh"; \
	  diff -ru manifests "$$fresh/manifests"; \
	  diff -u launcher/contract.json "$$fresh/launcher/contract.json"; \
	  diff -u trainer/cost/chips.json "$$fresh/trainer/cost/chips.json"; \
	  diff -ru docs/reference "$$fresh/docs/reference"; \
	  for file in $$(cd "$$fresh" && find helm -type f); do diff -u "$$file" "$$fresh/$$file"; done

charts: setup  ## package helm/ into dist/, the same bytes each time
	$(BIN)/python tools/package_charts.py

# A real Kubernetes on this machine (Linux, root, Go): docs/explanations/test-cluster.md.
TESTCLUSTER = PYTHONPATH=tests/cluster $(BIN)/python -m testcluster

cluster-packages: setup  ## install the Debian packages that the test cluster needs (root)
	$(TESTCLUSTER) packages

cluster-up: cluster-packages  ## start this checkout's test cluster and print how to use it
	$(TESTCLUSTER) up $(CLUSTER_FLAGS)

cluster-down: setup  ## end the test cluster and remove what killed ones left
	$(TESTCLUSTER) down

cluster-status: setup  ## list the test cluster's components and logs
	$(TESTCLUSTER) status

image: cluster-packages  ## build the images TARGETS="cpu tpu gpu" (default: cpu) and print their sizes
	$(TESTCLUSTER) image $(TARGETS)
