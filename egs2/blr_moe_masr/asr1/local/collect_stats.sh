#!/usr/bin/env bash
# Shapes, and statistics of the features for `normalize: global_mvn`, in parallel jobs of ESPnet's asr_train, as its
# asr.sh makes them:
#   local/collect_stats.sh NJ dump/raw/train dump/raw/valid exp/asr_stats --config conf/train_asr.yaml ...
# What follows the folders are asr_train's options.
set -e -u -o pipefail

nj=$1 train=$2 valid=$3 output_dir=$4
shift 4
. ./cmd.sh

logdir=${output_dir}/logdir
mkdir -p "${logdir}"
utterances=$(wc -l < "${valid}/wav.scp")  # of the smaller set: every job gets some of both
nj=$((utterances < nj ? utterances : nj))
for set in train valid; do
    # Neighbours stay together, so that the jobs' results are in order one after the other.
    awk -v nj="${nj}" -v n="$(wc -l < "${!set}/wav.scp")" -v part="${logdir}/${set}" \
        '{ print > (part "." int((NR - 1) * nj / n) + 1 ".scp") }' "${!set}/wav.scp"
done
# The statistics are of features that are not normalised yet.
${train_cmd} JOB=1:"${nj}" "${logdir}/stats.JOB.log" python3 -m espnet_blrmoe.run -m espnet2.bin.asr_train "$@" \
    --collect_stats true --ngpu 0 --normalize none --output_dir "${logdir}/stats.JOB" \
    --train_shape_file "${logdir}/train.JOB.scp" --valid_shape_file "${logdir}/valid.JOB.scp"
python3 -m espnet2.bin.aggregate_stats_dirs $(printf -- "--input_dir ${logdir}/stats.%s " $(seq "${nj}")) \
    --output_dir "${output_dir}" 2> "${logdir}/aggregate_stats_dirs.log"
