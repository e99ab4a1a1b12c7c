# make demo: the main job from nothing.  make test: the same set-up and every test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OMP_NUM_THREADS ?= 2
JOBS ?= 2

.PHONY: demo test test-python test-wheel test-swift test-slow test-swift-slow lint format bench clean install

demo: $(STAMP)
	$(BIN)/python scripts/demo.py

test: lint test-python test-wheel test-swift

install: $(STAMP)

# open_clip_torch carries CLIP's vocabulary, which tests compare tokenizers on; its own dependencies are not needed.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt setuptools
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps open_clip_torch
	touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml
	$(BIN)/python scripts/check_apple.py

test-python: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not slow"

# The wheel, alone in a fresh environment with the dependencies it asks for, edits one frame.
test-wheel: $(STAMP)
	$(BIN)/python scripts/check_wheel.py

# Other programs are called swift too: only the compiler says its version so.
test-swift:
	@if swift --version 2>/dev/null | grep -q "Swift version"; then \
		swift format lint --strict --recursive Package.swift ios_app tests/swift && \
		swift test --scratch-path build/swift && \
		swift test -c release -Xswiftc -enable-testing --scratch-path build/swift-optimized; \
	else echo "The Swift compiler was not found: the Swift tests were skipped."; fi

test-slow: $(STAMP) build/clips/bikes.mp4 test-swift-slow
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m slow --timeout 3600
	$(BIN)/python scripts/check_apple.py --whole

build/clips/bikes.mp4: | $(STAMP)
	$(BIN)/python scripts/demo.py --clip-only

# The long tests of Swift, optimized; then the others under the sanitizers.
test-swift-slow:
	@if swift --version 2>/dev/null | grep -q "Swift version"; then \
		MOBIE_SLOW=1 swift test -c release -Xswiftc -enable-testing --scratch-path build/swift-optimized && \
		swift test --sanitize=thread --scratch-path build/swift-thread && \
		LSAN_OPTIONS=suppressions=$(CURDIR)/tests/swift/leaks.supp \
			swift test --sanitize=address --scratch-path build/swift-address; \
	else echo "The Swift compiler was not found: the Swift tests were skipped."; fi

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Baseline and ours side by side; the full-size figures take several minutes each.
bench: $(STAMP)
	$(BIN)/python benchmarks/identity.py
	$(BIN)/python benchmarks/convert.py
	$(BIN)/python benchmarks/convert.py --weight-bits 6
	$(BIN)/python benchmarks/weight_bits.py
	$(BIN)/python benchmarks/execute.py --preset nano
	$(BIN)/python benchmarks/execute.py --preset mobile
	$(BIN)/python benchmarks/palettize.py
	$(BIN)/mobie convert nano build/bench/model --component Denoiser --target iOS18 --weight-bits 16 --quiet
	$(BIN)/python benchmarks/palette_forms.py build/bench/model/Denoiser.mlpackage --every 8
	$(BIN)/python benchmarks/mixed_bits.py

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
