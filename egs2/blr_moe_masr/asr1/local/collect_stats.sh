#!/usr/bin/env bash
# The lengths of all utterances and, for `normalize: global_mvn` and `running_mvn`, statistics of the features, as
# ESPnet's asr.sh makes them; the folder appears whole, or not at all. What follows `--` are options of ESPnet's
# asr_train:
#   local/collect_stats.sh --train_dir dump/raw/train --valid_dir dump/raw/valid \
#       --token_list data/token_list/char/tokens.txt --output_dir exp/asr_stats -- --config conf/train_asr.yaml ...
set -e -u -o pipefail

train_dir=                      # data directory of the training set
valid_dir=                      # data directory of the validation set
token_list=                     # a token a line
token_type=char                 # char or bpe
feats_normalize=utterance_mvn   # with any other, features are computed for their statistics
num_splits_asr=1                # the training set's tables are cut into this many parts
nj=2                            # parallel jobs that compute features
output_dir=                     # folder for the results
. local/shared/parse_options.sh
. local/shared/messages.sh
. ./cmd.sh

python=${python:-python3}
unfinished=${output_dir}.unfinished
logdir=${unfinished}/logdir

# Lengths, without reading audio.
collect_shapes() {
    "${python}" -m espnet_blrmoe.bin.collect_shapes --output_dir "${unfinished}" "$@" \
        --train_shape_file "${train_dir}/utt2num_samples" --valid_shape_file "${valid_dir}/utt2num_samples" \
        > "${unfinished}/stats.log" 2>&1 || { last_error "${unfinished}/stats.log"; exit 1; }
}

# Lengths and statistics, in parallel jobs of asr_train.
collect_features() {
    local utterances set job parts=()
    mkdir -p "${logdir}"
    utterances=$(wc -l < "${valid_dir}/wav.scp")  # of the smaller set: every job gets some of both
    nj=$((utterances < nj ? utterances : nj))
    for set in train valid; do
        local scp=${set}_dir
        scp=${!scp}/wav.scp
        # Neighbours stay together, so that the jobs' results are in order one after the other.
        part=${logdir}/${set} awk -v nj="${nj}" -v n="$(wc -l < "${scp}")" \
            '{ print > (ENVIRON["part"] "." int((NR - 1) * nj / n) + 1 ".scp") }' < "${scp}"
    done
    # The statistics are of features that are not normalised yet.
    ${train_cmd} __JOB__=1:"${nj}" "${logdir}/stats.__JOB__.log" "${python}" -m espnet_blrmoe.run \
        -m espnet2.bin.asr_train "$@" --collect_stats true --ngpu 0 --normalize none \
        --output_dir "${logdir}/stats.__JOB__" \
        --train_shape_file "${logdir}/train.__JOB__.scp" --valid_shape_file "${logdir}/valid.__JOB__.scp"
    for job in $(seq "${nj}"); do parts+=("--input_dir=${logdir}/stats.${job}"); done
    "${python}" -m espnet2.bin.aggregate_stats_dirs "${parts[@]}" --output_dir "${unfinished}" \
        2> "${logdir}/aggregate_stats_dirs.log"
}

rm -rf "${unfinished}"
mkdir -p "${unfinished}"
if [ "${feats_normalize}" = utterance_mvn ]; then
    collect_shapes "$@"
else
    collect_features "$@"
fi
# As in asr.sh, a token counts for the size of a batch as many numbers as its one-hot vector has.
for set in train valid; do
    sed "s/\$/,$(wc -l < "${token_list}")/" "${unfinished}/${set}/text_shape" \
        > "${unfinished}/${set}/text_shape.${token_type}"
done
if [ "${num_splits_asr}" -gt 1 ]; then
    "${python}" -m espnet2.bin.split_scps --num_splits "${num_splits_asr}" \
        --output_dir "${unfinished}/splits${num_splits_asr}" \
        --scps "${train_dir}"/{wav.scp,text,utt2lang} "${unfinished}/train"/{speech_shape,"text_shape.${token_type}"} \
        2> "${unfinished}/split.log" || { last_error "${unfinished}/split.log"; exit 1; }
fi
rm -rf "${output_dir}"
mv "${unfinished}" "${output_dir}"
