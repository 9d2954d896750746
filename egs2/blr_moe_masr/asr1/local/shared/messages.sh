# What scripts say when something fails.

die() { echo "$*" >&2; exit 1; }

# last_error LOG: the last error in a log, without the traceback before it.
last_error() {
    [ -s "$1" ] || die "$1 is empty, though its program failed: no room?"
    { grep -E '^[A-Za-z_.]*(Error|Exception|Exit)\b' "$1" || tail -n 1 "$1"; } | tail -n 1 >&2
}
