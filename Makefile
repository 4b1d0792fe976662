PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The tests start many processes: what is compiled is kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick long lint format clean

$(READY): requirements/dev.txt requirements/torch.txt requirements/models.txt pyproject.toml runtime/pyproject.toml exporters/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements/torch.txt
	$(BIN)/pip install --quiet -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps -r requirements/models.txt
	$(BIN)/pip install --quiet --no-deps -e runtime -e exporters -e .
	touch $@

demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

test: $(READY)
	$(BIN)/pytest -n 2 tests

quick: $(READY)
	$(BIN)/pytest -n 2 -m "not slow" tests

long: $(READY)
	$(BIN)/pytest -n 2 --long --all-mutations --networks 1000 tests

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
