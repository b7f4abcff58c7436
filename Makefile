# `make` alone says what there is.
.DEFAULT_GOAL := help
.PHONY: help venv demo test check bench docs clean

help: ## Say what there is.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

venv:
	@scripts/venv

demo: venv ## Show Tocsin on a stream of genuine-shaped Sentry webhooks (DEMO_SECONDS=20 stops by itself).
	@.venv/bin/tocsin demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

test: venv ## Run the whole test suite, on SQLite and PostgreSQL.
	@.venv/bin/python -m pytest

check: venv ## Check format, lint, types, imports and sizes.
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@out=$$(.venv/bin/lint-imports --no-cache) || { echo "$$out"; exit 1; }
	@.venv/bin/python scripts/sizes.py

bench: venv ## Measure durable intake beside the same server without storage.
	@.venv/bin/python -m benchmarks.intake

docs: venv ## Make the generated pages of docs/reference anew.
	@.venv/bin/python scripts/docs.py

clean: ## Remove what make made.
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist tocsin-data
	find . -name __pycache__ -prune -exec rm -rf {} +
