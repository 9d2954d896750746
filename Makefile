# Everything from a clean clone: `make demo` and `make test` need only Python 3.11 or 3.12, git and make.
PYTHON ?= python3
VENV := .venv
UV := .bootstrap/bin/uv
RECIPE := egs2/blr_moe_masr/asr1
# Byte code makes every later start of ESPnet about 8 s quicker, so a machine's wish not to write it is ignored.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: env demo test lock clean

env: $(VENV)/.installed

# DEMO_OPTIONS are options of run.sh, for example DEMO_OPTIONS="--langs 'de nl'".
demo: env
	cd $(RECIPE) && ./run.sh $(DEMO_OPTIONS)

test: env
	$(VENV)/bin/python -m pytest tests

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "Python 3.11 or 3.12 is needed; choose it with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .bootstrap
	.bootstrap/bin/pip install --quiet --disable-pip-version-check uv

$(VENV)/.installed: requirements.txt setup.py | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --python $(VENV) --require-hashes requirements.txt
	$(UV) pip install --quiet --python $(VENV) --no-deps --editable .
	@touch $@

# Resolve requirements.in anew, for Python 3.11 and 3.12, to exact versions and hashes.
lock: | $(UV)
	$(UV) pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --upgrade requirements.in -o requirements.txt

clean:
	rm -rf $(RECIPE)/data $(RECIPE)/dump $(RECIPE)/exp $(RECIPE)/downloads
