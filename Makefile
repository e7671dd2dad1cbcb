# Two commands: `make run` (the report on the embedded corpora) and `make test` (every check).
PYTHON ?= python3
BIN := .venv/bin
OUT ?= out

.PHONY: run test lint types imports wheel tests lock clean

run: .venv/ready
	$(BIN)/probe-bench run --out $(OUT)

test: lint types imports wheel tests

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

imports: .venv/ready
	$(BIN)/lint-imports

wheel: .venv/ready
	$(BIN)/python tests/wheel_guard.py

tests: .venv/ready
	$(BIN)/pytest --numprocesses=auto --dist=worksteal

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "probe-bench needs Python 3.11 or newer; set PYTHON=python3.x")'
	test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	touch $@

# Resolve the newest allowed versions into the hashed lock.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-annotate --group dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
