# Two commands on a fresh machine: `make sweep` and `make test`. Both make the virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STORAGE ?= runs
COMPUTING := tests/balls tests/data tests/tasks tests/training tests/vision
NAME ?= first-$(shell date +%Y%m%d-%H%M%S)

.PHONY: sweep test test-slow test-processors chaos crash simulate mutation test-cluster lint bench wheel clean

# made again when what is to be installed changes
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

## a small sweep of the ball detector on built-in data: the best trial, and where everything is
sweep: $(VENV)/installed
	$(BIN)/balltrain sweep detect_heatmap --trials 8 --epochs 4 --grace 1 --size 3000 --storage $(STORAGE) --name $(NAME)
	$(BIN)/balltrain report $(NAME) --storage $(STORAGE)

## everything that is tested, but for what kills and resumes for minutes
test: $(VENV)/installed
	$(BIN)/python -m pytest

## the sweeps that take longest: some minutes
test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow

## what computes, on processors without AVX-512 and without AVX2: torch leaves those instructions out
test-processors: $(VENV)/installed
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest $(COMPUTING)
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 $(BIN)/python -m pytest $(COMPUTING)

## sweeps killed at random moments, on lost nodes and full disks, resumed here and elsewhere: some minutes
chaos: $(VENV)/installed
	$(BIN)/python -m pytest -m chaos -s

## every state of the disk that a power loss may leave, resumed: some minutes
crash: $(VENV)/installed
	$(BIN)/python -m pytest -m crash -s

## simulated sweeps, and all that may happen to them: ten million epochs, on all cores
simulate: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m simulated

## whether tests notice that one thing was changed in what records and decides: 300 of 2 200 changes, an hour
mutation: $(VENV)/installed
	$(BIN)/python tests/mutation.py --sample 300

## a cluster of hosts of our own, by namespaces and ssh, cut off, killed and joined: 10 minutes at most, as root
test-cluster: $(VENV)/installed
	for tool in sshd ip rsync; do PATH=$$PATH:/usr/sbin command -v $$tool > /dev/null || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends openssh-server iproute2 rsync; break; }; done
	$(BIN)/python -m pytest -m hosts -s

## format, lint and types
lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

## each a ratio to a named baseline, measured in the same run
bench: $(VENV)/installed
	$(BIN)/python benchmarks/sweep_overhead.py
	$(BIN)/python benchmarks/commands.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/busy_machine.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/journal.py
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/cluster.py
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/mirrors.py
	$(BIN)/python benchmarks/augmentation.py
	$(BIN)/python benchmarks/workers.py
	$(BIN)/python benchmarks/coco.py

## what the cluster files copy to each node: this package and the tested versions
wheel: $(VENV)/installed
	rm -rf cluster/dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir cluster/dist .
	cp constraints.txt cluster/dist/

clean:
	rm -rf $(VENV) runs mutants build dist cluster/dist .pytest_cache .ruff_cache .mypy_cache
