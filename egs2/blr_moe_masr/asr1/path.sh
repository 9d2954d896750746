# The programs of the recipe: `make env` at the top of the repository builds the environment.
MAIN_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
if [ -x "${MAIN_ROOT}/.venv/bin/python" ]; then
    export PATH="${MAIN_ROOT}/.venv/bin:${PATH}"
fi
# Byte code makes every start of ESPnet about 8 s quicker.
unset PYTHONDONTWRITEBYTECODE
export PYTHONIOENCODING=UTF-8
export LC_ALL=C.UTF-8
