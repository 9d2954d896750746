#!/usr/bin/env bash
# Runs parallel jobs on this machine, with the arguments of Kaldi's run.pl:
#   local/run_jobs.sh JOB=1:4 exp/log/decode.JOB.log command --key_file keys.JOB
# Every JOB is replaced by the job's number, also in paths; it may have another name, as in run.pl, and has one here that
# no path has: __JOB__. If a job fails, the last line of its log is shown.
set -u -o pipefail

name=JOB first=1 last=1
while [[ "${1:-}" == --* ]]; do shift 2; done  # resources (--gpu 1, --mem 4G) matter to schedulers only
if [[ "${1:-}" =~ ^([A-Za-z_][A-Za-z0-9_]*)=([0-9]+):([0-9]+)$ ]]; then
    name=${BASH_REMATCH[1]} first=${BASH_REMATCH[2]} last=${BASH_REMATCH[3]}
    shift
fi
log_of() { echo "${log//${name}/$1}"; }
log=$1
shift

pids=()
for job in $(seq "${first}" "${last}"); do
    mkdir -p "$(dirname "$(log_of "${job}")")"
    "${@//${name}/${job}}" > "$(log_of "${job}")" 2>&1 &
    pids+=($!)
done
trap 'kill "${pids[@]}" 2> /dev/null' INT TERM

status=0
for job in $(seq "${first}" "${last}"); do
    if ! wait "${pids[job - first]}"; then
        echo "job ${job} failed; the last line of $(log_of "${job}"):" >&2
        tail -n 1 "$(log_of "${job}")" >&2
        status=1
    fi
done
exit "${status}"
