# The programs of the recipe: `make env` at the top of the repository builds the environment.
MAIN_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
if [ -x "${MAIN_ROOT}/.venv/bin/python" ]; then
    export PATH="${MAIN_ROOT}/.venv/bin:${PATH}"
fi
if ! python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("espnet2") is None)'; then
    echo "ESPnet is not installed: run 'make env' in ${MAIN_ROOT} first, or activate an environment that has it" >&2
    exit 1
fi
# Byte code makes every start of ESPnet about 8 s quicker.
unset PYTHONDONTWRITEBYTECODE
# So that the last line of a log is what happened last.
export PYTHONUNBUFFERED=1
export PYTHONIOENCODING=UTF-8
export LC_ALL=C.UTF-8
