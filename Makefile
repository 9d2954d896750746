# Everything from a clean clone: `make demo` and `make test` need only Python 3.11, 3.12 or 3.13, git and make.
PYTHON ?= python3
VENV := .venv
UV := .bootstrap/bin/uv
RECIPE := egs2/blr_moe_masr/asr1
# The newest ESPnet that the Python allows; Python 3.12 takes both: make ESPNET=202511.
ESPNET ?= $(shell $(PYTHON) -c 'import sys; print(202511 if sys.version_info < (3, 12) else 202611)')
REQUIREMENTS := requirements/espnet$(ESPNET).txt
# Byte code makes every later start of ESPnet about 8 s quicker, so a machine's wish not to write it is ignored.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: env demo test lint smoke lock clean system

env: $(VENV)/.installed

# DEMO_OPTIONS are options of run.sh, for example DEMO_OPTIONS="--langs 'de nl'".
demo: env
	cd $(RECIPE) && ./run.sh $(DEMO_OPTIONS)

test: env
	$(VENV)/bin/python -m pytest tests

# Style and types; both are configured in pyproject.toml.
lint: env
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# What depends on ESPnet's release: registration, loading, packing, and every stage of the recipe at tiny size.
smoke: env
	$(VENV)/bin/python -m pytest tests/plugin/test_registration.py tests/plugin/test_quick_start.py \
	  tests/plugin/test_espnet_internals.py tests/plugin/model/test_encoder.py tests/plugin/files/test_sharing.py \
	  tests/recipe/test_trainings.py \
	  tests/recipe/test_run_sh.py::test_every_stage_runs_and_says_so \
	  tests/recipe/test_run_sh.py::test_every_stage_leaves_its_files \
	  tests/recipe/test_run_sh.py::test_the_packed_model_gives_the_same_transcripts_elsewhere

# Before anything is downloaded.
system:
	@$(PYTHON) requirements/check_system.py

$(UV): | system
	$(PYTHON) -m venv .bootstrap
	.bootstrap/bin/pip install --quiet --disable-pip-version-check uv

$(VENV)/.installed: $(REQUIREMENTS) setup.py | system $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --python $(VENV) --require-hashes $(REQUIREMENTS)
	$(UV) pip install --quiet --python $(VENV) --no-deps --editable .
	@touch $@

# Resolve requirements/*.in anew, to exact versions and hashes.
LOCK := pip compile --quiet --universal --fork-strategy fewest --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-annotate --no-header --upgrade
lock: | $(UV)
	$(UV) $(LOCK) --python-version 3.11 requirements/espnet202511.in -o requirements/espnet202511.txt
	$(UV) $(LOCK) --python-version 3.12 requirements/espnet202611.in -o requirements/espnet202611.txt

clean:
	rm -rf $(RECIPE)/data $(RECIPE)/dump $(RECIPE)/exp $(RECIPE)/downloads
