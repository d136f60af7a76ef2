# Everything a newcomer needs: `make demo` and `make test`. Both install first, into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo

.PHONY: demo test lint faults mutants bench gpu reference site install clean

demo: $(VENV)/.installed
	$(BIN)/python tools/demo.py --out $(DEMO)

test: $(VENV)/.installed lint
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow

# Breaks one line at a time in a copy of the tree: a test must notice each.
mutants: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python tools/mutants.py

bench: $(VENV)/.installed
	$(BIN)/python tools/bench/bench_store.py
	$(BIN)/python tools/bench/bench_volumes.py
	$(BIN)/python tools/bench/bench_resampling.py
	$(BIN)/python tools/bench/bench_train.py
	$(BIN)/python tools/bench/bench_stylegan2.py
	$(BIN)/python tools/bench/bench_data.py
	$(BIN)/python tools/bench/bench_dataset.py
	$(BIN)/python tools/bench/bench_generate.py
	$(BIN)/python tools/bench/bench_evaluate.py
	$(BIN)/python tools/bench/bench_audit.py
	$(BIN)/python tools/bench/bench_figures.py

reference: $(VENV)/.installed
	$(BIN)/python tools/command_reference.py --out build/commands.md --man build/man

# The documentation as a site in build/site; warnings and links that lead nowhere are errors.
site: $(VENV)/.installed
	$(BIN)/python tools/build_site.py

# On a machine with a GPU; see docs/benchmarks.md.
gpu: $(VENV)/.installed
	$(BIN)/python tools/gpu/run_gpu.py --minutes $(or $(MINUTES),10) --out build/gpu $(if $(PARTS),--parts $(PARTS))

install: $(VENV)/.installed

# On Linux PyPI's torch brings 5 GB of CUDA. Where there is no NVIDIA GPU the 200 MB build for CPUs
# is taken from PyTorch's own index, if it answers; `make TORCH_INDEX= ...` leaves that out.
CPU_INDEX := https://download.pytorch.org/whl/cpu
ANSWERS := $(PYTHON) -c "import urllib.request as u; u.urlopen('$(CPU_INDEX)/torch/', timeout=5)"
TORCH_INDEX ?= $(shell command -v nvidia-smi >/dev/null || { $(ANSWERS) 2>/dev/null && echo $(CPU_INDEX); })

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
		--constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf build .mypy_cache .ruff_cache .pytest_cache
