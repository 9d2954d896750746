# The programs of the recipe: `make env` at the top of the repository builds the environment. An ESPnet checkout has its
# own path.sh, which sources local/path.sh too.
MAIN_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
if [ -x "${MAIN_ROOT}/.venv/bin/python" ]; then
    export PATH="${MAIN_ROOT}/.venv/bin:${PATH}"
fi
. local/path.sh
