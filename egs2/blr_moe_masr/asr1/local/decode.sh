#!/usr/bin/env bash
# Decodes test sets side by side, each in parallel jobs, and gathers what the jobs wrote, as ESPnet's asr.sh does:
# OUTPUT_DIR/<test set>/{text,token,token_int,score,lang,timeline,expert_frames}. What follows `--` are the test sets:
#   local/decode.sh --model exp/router --output_dir exp/asr/decode_asr_router -- dump/raw/test_in dump/raw/test_out
set -e -u -o pipefail

model=                                  # folder with config.yaml and model.pth; or the two files, by ESPnet's options:
asr_train_config=                       # config.yaml of the training
asr_model_file=                         # checkpoint
output_dir=                             # folder for the results
inference_config=conf/decode_asr.yaml   # options of asr_inference
inference_args=                         # further ones
allowed_languages=                      # own: every utterance is decoded with its own language only; groups of
                                        # languages, "es,pt de,en": with those of its group; pairs: groups of two, in
                                        # the order of their codes; default: with all
chunk_ms=                               # decode as streams: milliseconds that are recognised at a time; default: whole
nj=1                                    # parallel jobs for every test set
ngpu=0                                  # 1: on a GPU
. local/shared/parse_options.sh
. local/shared/messages.sh
. ./cmd.sh

python=${python:-python3}
asr_train_config=${asr_train_config:-${model}/config.yaml}
asr_model_file=${asr_model_file:-${model}/model.pth}
# One thread each, as for any of Kaldi's jobs: test sets and jobs run side by side, and threads of several would wait
# for each other at every small operation.
export OMP_NUM_THREADS=1

decode() {  # decode DATA_DIR
    local data=$1 results=${output_dir}/$(basename "$1") keys jobs utterances options
    # Beside a result that is there already, which is replaced only by a whole new one.
    local unfinished=${results}.unfinished
    local logdir=${unfinished}/logdir
    rm -rf "${unfinished}"
    mkdir -p "${logdir}"
    keys=${data}/wav.scp
    [ ! -e "${data}/segments" ] || keys=${data}/segments
    utterances=$(wc -l < "${keys}")
    jobs=$((utterances < nj ? utterances : nj))
    for job in $(seq "${jobs}"); do  # interleaved, so that every job gets short and long utterances
        awk -v nj="${jobs}" -v job="${job}" 'NR % nj == job % nj' < "${keys}" > "${logdir}/keys.${job}.scp"
    done

    options=(--config "${inference_config}" --ngpu "${ngpu}" --asr_train_config "${asr_train_config}"
        --asr_model_file "${asr_model_file}" --data_path_and_name_and_type "${data}/wav.scp,speech,sound")
    [ -z "${chunk_ms}" ] || options+=(--chunk_ms "${chunk_ms}")
    if [ -n "${allowed_languages}" ]; then
        "${python}" local/allowed_languages.py --groups "${allowed_languages}" "${data}/utt2lang" \
            "${unfinished}/utt2langs"
        options+=(--utt2langs "${unfinished}/utt2langs")
    fi
    echo "decoding ${utterances} utterances of ${data} in ${jobs} job(s); see ${logdir}/*.log"
    ${decode_cmd} --gpu "${ngpu}" __JOB__=1:"${jobs}" "${logdir}/asr_inference.__JOB__.log" \
        "${python}" -m espnet_blrmoe.run -m "espnet2.bin.asr_inference${chunk_ms:+_streaming}" "${options[@]}" \
        --key_file "${logdir}/keys.__JOB__.scp" --output_dir "${logdir}/output.__JOB__" "${further[@]}"

    local/gather_results.sh "${logdir}" "${unfinished}" text token token_int score lang timeline expert_frames
    rm -rf "${results}"
    mv "${unfinished}" "${results}"
    echo "$(wc -l < "${results}/text") utterances decoded: ${results}/text"
}

mapfile -t further < <(words "${inference_args}")
[ $# -gt 0 ] || die "$0: name the test sets behind --"
"${python}" local/check_languages.py --asr_train_config "${asr_train_config}" --groups "${allowed_languages:-own}" "$@"
pids=()
for data_dir in "$@"; do
    decode "${data_dir}" &
    pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do wait "${pid}" || failed=1; done
exit "${failed}"
