# `make` alone says what there is.
.DEFAULT_GOAL := help
.PHONY: help venv demo test test-full fuzz check chaos chaos-full audit bench bench-full docs screenshots clean

help: ## Say what there is.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

venv:
	@scripts/venv

demo: venv ## Show Tocsin with a fake Sentry, both ways (DEMO_SECONDS=20 stops by itself).
	@.venv/bin/tocsin demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

test: venv ## Run the whole test suite, on SQLite and PostgreSQL.
	@.venv/bin/python -m pytest

check: venv ## Check format, lint, types, imports and sizes.
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@out=$$(.venv/bin/lint-imports --no-cache) || { echo "$$out"; exit 1; }
	@.venv/bin/python scripts/sizes.py

# What is timed has the machine to itself, and says its figures.
TIMED = $(addprefix tests/security/test_,comparing.py guesses.py slow.py)

test-full: venv fuzz ## Run the long profiles: 10,000 generated schedules, 10,000 steps of the model (half an hour), and fuzz.
	@TOCSIN_TEST_FULL=1 .venv/bin/python -m pytest tests/core/test_schedule_oracle.py tests/scenarios/test_machine.py tests/scenarios/test_sentry_machine.py tests/security $(TIMED:%=--ignore=%)
	@TOCSIN_TEST_FULL=1 .venv/bin/python -m pytest -n 0 -s $(TIMED)

fuzz: venv ## Send a million mutated bodies into intake, and 20,000 over HTTP on each database (ten minutes).
	@TOCSIN_TEST_FULL=1 .venv/bin/python -m pytest -n 0 tests/fuzz

chaos: venv ## Kill, freeze and cut off real processes, and compare what was told with what is there: four minutes (CHAOS="--only R4").
	@.venv/bin/python -m tests.chaos --quick $(CHAOS)

chaos-full: venv ## The same at full size, as root: two hours (CHAOS="--soak-minutes 5"); docs/reliability.md is made from it.
	@rm -f chaos.json; .venv/bin/python -m tests.chaos --full --json chaos.json $(CHAOS)
	@.venv/bin/python scripts/reliability.py chaos.json

audit: venv ## Look for known vulnerabilities in what is pinned, and write dist/tocsin.cdx.json (SBOM); asks a service outside.
	@scripts/audit

BENCHMARKS = intake oncall pages storm growth

bench: venv ## Measure intake beside the same server without storage, the on-call engine, the page, storms, and how cost grows.
	@missed=0; for part in $(BENCHMARKS); do .venv/bin/python -m benchmarks.$$part || missed=1; done; exit $$missed

bench-full: venv ## The same at full size (two hours or more); docs/performance.md is made from it.
	@rm -f figures.jsonl; missed=0; for part in $(BENCHMARKS); do \
	  BENCH_FULL=1 BENCH_JSON=figures.jsonl .venv/bin/python -m benchmarks.$$part || missed=1; done; \
	  .venv/bin/python scripts/performance.py figures.jsonl; exit $$missed

docs: venv ## Make the generated pages of docs/reference anew.
	@.venv/bin/python scripts/docs.py

screenshots: venv ## Take the pictures of docs/pictures anew, of the pages over the demo's data.
	@.venv/bin/python -m scripts.screenshots

clean: ## Remove what make made.
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist tocsin-data src/tocsin/web/static/vendor
	find . -name __pycache__ -prune -exec rm -rf {} +
