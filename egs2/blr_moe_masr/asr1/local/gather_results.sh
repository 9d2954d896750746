#!/usr/bin/env bash
# Joins tables of parallel decoding jobs, sorted by utterance:
#   local/gather_results.sh LOGDIR FOLDER TABLE...
# reads LOGDIR/output.*/1best_recog/TABLE and writes FOLDER/TABLE.
set -e -u -o pipefail

logdir=$1 folder=$2
shift 2
for table in "$@"; do
    [ -e "${logdir}/output.1/1best_recog/${table}" ] || continue  # without experts no language is detected
    sort -k1,1 "${logdir}"/output.*/1best_recog/"${table}" > "${folder}/${table}"
done
