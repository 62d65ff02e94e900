# The first target that needs it makes .venv; later ones install only after pyproject.toml or constraints.txt changed.
# The demo does with little; what tests and measurements need on top is installed when one of them is first run.

PYTHON ?= python3
IMAGES ?=
ARGS ?=
export IMAGES

BIN := .venv/bin
READY := .venv/ready
READY_DEV := .venv/ready-dev

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs site gallery tour ui bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile

demo: $(READY) ## build a lake of demo photos and search it; IMAGES=/my/photos takes yours
	$(BIN)/imrec demo $(if $(IMAGES),"$$IMAGES")

test: lint ## check the style and the types, then run the tests
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY_DEV) ## check the style and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY_DEV) ## write the generated tables and references of docs
	$(BIN)/python -m docs.generated_tables README.md docs/*.md docs/*/*.md

site: $(READY_DEV) ## build a web site of docs in build/site, and check its links
	$(BIN)/zensical build --clean --strict
	@echo 'read it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site 8080'

gallery: $(READY_DEV) ## make the pictures of the docs by their own commands
	$(BIN)/python docs/gallery.py
	$(BIN)/python -m docs.page_gallery

tour: $(READY_DEV) ## run docs/tour.ipynb and keep what it shows
	$(BIN)/python docs/tour.py

ui: $(READY) ## open Dagster's web page on the lake
	$(BIN)/imrec ui

bench: $(READY_DEV) ## measure speed and quality; ARGS='...' chooses
	$(BIN)/python -m tests.benchmarks $(ARGS)

clean: ## remove .venv, caches and build products; lakes and photos stay
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[demo,web]'
	touch $@

$(READY_DEV): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY) $@
