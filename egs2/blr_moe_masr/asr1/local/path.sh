# The end of path.sh, with pip alone and in an ESPnet checkout.
missing=$(python3 -c 'from importlib.util import find_spec as find
print(*(package for package in ("espnet2", "espnet_blrmoe") if find(package) is None))')
if [ -n "${missing}" ]; then
    echo "$(command -v python3) lacks ${missing}: run 'make env' at the top of the espnet_blrmoe repository," \
        "or activate an environment that has ESPnet and the plugin (pip install .)" >&2
    exit 1
fi
# Byte code makes every start of ESPnet about 8 s quicker.
unset PYTHONDONTWRITEBYTECODE
# So that the last line of a log is what happened last.
export PYTHONUNBUFFERED=1
export PYTHONIOENCODING=UTF-8
export LC_ALL=C.UTF-8
