#!/usr/bin/env bash
# Trains with a program of ESPnet or of the plugin, on the GPUs and machines that the options say, and shows a line for
# every epoch:
#   local/train.sh --ngpu 1 --log exp/asr/train.log -- espnet2.bin.asr_train --config conf/train_asr.yaml ...
set -e -u -o pipefail

log=            # file that gets the program's whole log
ngpu=0          # GPUs of each machine; 0 trains on the CPU, with a process for each core
num_nodes=1     # machines, which cuda_cmd in cmd.sh finds, or which all start this with --torchrun
host=           # machines by ssh, with their GPUs: "host1:0:1,host2:0:1"
torchrun=       # options of torchrun, which then starts the program
. local/shared/parse_options.sh
. ./cmd.sh

python=${python:-python3}
program=(-m espnet_blrmoe.run -m "$@")

with_torchrun() {
    local options
    mapfile -t options < <(words "${torchrun}")
    # Processes that are started anew must not find each other's old addresses (pytorch/pytorch#135712).
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 "${python}" -m torch.distributed.run --nnodes "${num_nodes}" \
        --nproc_per_node "$((ngpu > 1 ? ngpu : 1))" "${options[@]}" "${program[@]}" \
        --multiprocessing_distributed false --ngpu "$((ngpu > 0))" \
        --dist_backend "$([ "${ngpu}" -gt 0 ] && echo nccl || echo gloo)" 2>&1
}

here() { "${python}" "${program[@]}" --multiprocessing_distributed true --ngpu "${ngpu}" 2>&1; }

with_espnets_launcher() {
    local where=(--num_nodes "${num_nodes}" --cmd "${cuda_cmd} --name $(printf %q "${log}")") quoted
    [ -z "${host}" ] || where=(--host "${host}")
    mapfile -t quoted < <(printf '%q\n' "${python}" "${program[@]}")  # a shell over there reads the words again
    rm -f "${log%.log}.job.log"
    "${python}" -m espnet2.bin.launch "${where[@]}" --ngpu "${ngpu}" --log "${log%.log}.job.log" \
        --init_file_prefix "$(dirname "${log}")/.dist_init_" -- "${quoted[@]}" 2>&1 &
    tail --pid=$! -n +1 -F "${log%.log}.job.log" 2> /dev/null || true  # it is not there at once
    wait $!
}

is_here() { [ -z "${host}" ] && [ "${cuda_cmd}" = local/run_jobs.sh ]; }

# Processes instead of threads, which wait for each other at every operation: they are slower, and crawl as soon as
# another program takes a core (benchmarks/NOTES.md). At most 8, since each needs utterances of every batch.
if [ "${ngpu}" = 0 ] && [ -z "${torchrun}" ] && is_here; then
    processes=$(($(env -u OMP_NUM_THREADS nproc) / ${OMP_NUM_THREADS:-1}))
    [ "${processes}" -lt 2 ] || torchrun="--standalone --nproc_per_node $((processes < 8 ? processes : 8))"
fi

if [ -n "${torchrun}" ]; then
    with_torchrun
elif is_here; then
    here
else
    with_espnets_launcher
fi | "${python}" local/show_epochs.py "${log}"
