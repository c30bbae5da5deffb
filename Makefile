# The words of this project: setup, demo, check, test. CI calls exactly these.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo check types fmt examples-data test test-fast wheel clean

setup: .venv/stamp  ## the virtual environment, with pinned dependencies

.venv/stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	# seqeval comes as source and is built with setuptools-scm.
	$(BIN)/pip install -q -c constraints.txt pip setuptools setuptools-scm wheel
	$(BIN)/pip install -q --no-build-isolation -c constraints.txt -e ".[dev,bench]"
	touch .venv/stamp

demo: setup  ## fine-tune a real model on real reviews, on this machine
	$(BIN)/python examples/fetch_demo.py
	$(BIN)/unfreeze train examples/reviews.yaml

check: setup types  ## style, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Type checkers cannot see through an editable install: give them a real unfreeze/ folder.
types:
	mkdir -p build/typing/unfreeze
	for p in cli cluster jobs storage tuning; do ln -sfn ../../../$$p build/typing/unfreeze/$$p; done

fmt: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

examples-data: setup  ## what the examples read
	$(BIN)/python examples/fetch_demo.py reviews ner shakespeare
	$(BIN)/python examples/small_gpt2.py .cache/demo/shakespeare/train-*.txt --to .cache/demo/small-gpt2

test: examples-data  ## everything that needs no GPU
	$(BIN)/pytest

test-fast: examples-data  ## what takes seconds
	$(BIN)/pytest -m "not slow and not chaos"

wheel: setup
	rm -rf build/lib dist
	$(BIN)/pip wheel -q --no-build-isolation --no-deps -w dist .

clean:
	rm -rf .venv build dist *.egg-info
