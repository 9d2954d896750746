# The end of path.sh, inside and outside an ESPnet checkout.
missing=$(python3 -c 'from importlib.util import find_spec as find
print(*(package for package in ("espnet2", "espnet_blrmoe") if find(package) is None))')
if [ -n "${missing}" ]; then
    echo "$(command -v python3) lacks ${missing}: run 'make env' at the top of the espnet_blrmoe repository," \
        "or activate an environment that has ESPnet and the plugin (pip install .)" >&2
    exit 1
fi
# Byte code makes every start of ESPnet about 8 s quicker.
unset PYTHONDONTWRITEBYTECODE
# As ESPnet's path.sh: what runs in parallel are processes, on CPUs also in training.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# So that the last line of a log is what happened last.
export PYTHONUNBUFFERED=1
export PYTHONIOENCODING=UTF-8
export LC_ALL=C.UTF-8
# Keep freed memory for the next step instead of giving it back to the system and having every page of it cleared again:
# trains on a CPU up to a fifth faster, more so with many experts (benchmarks/NOTES.md). For glibc's malloc.
export MALLOC_MMAP_MAX_=${MALLOC_MMAP_MAX_-0}
export MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_-100000000000}
