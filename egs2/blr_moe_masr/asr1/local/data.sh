#!/usr/bin/env bash
# Stage 1: makes the data directories data/* from one or several corpora; the options are those of prepare_corpora.py.
set -e -u -o pipefail

set -a  # prepare_corpora.py finds the corpora's folders in the environment
. <(tr -d '\r' < db.sh)  # an editor of Windows ends lines with two characters
set +a
exec "${python:-python3}" local/prepare_corpora.py "$@"
