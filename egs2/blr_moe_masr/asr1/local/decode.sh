#!/usr/bin/env bash
# Decodes one test set in parallel jobs and gathers their results in one folder, as ESPnet's asr.sh does:
# OUTPUT_DIR/{text,token,token_int,score,lang,timeline,expert_frames}.
set -e -u -o pipefail

help_message="Usage: local/decode.sh --data DIR --output_dir DIR --asr_train_config FILE --asr_model_file FILE
    [--inference_config FILE] [--nj N] [--ngpu N] [--prune own|\"es,pt de,en\"] [--inference_args \"...\"]"
data=
output_dir=
asr_train_config=
asr_model_file=
inference_config=conf/decode_asr.yaml
nj=1
ngpu=0
prune=
inference_args=
. local/parse_options.sh
. ./cmd.sh

# Beside a result that is there already, which is replaced only by a whole new one.
unfinished=${output_dir}.unfinished
logdir=${unfinished}/logdir
rm -rf "${unfinished}"
mkdir -p "${logdir}"
# Interleaved, so that every job gets short and long utterances.
nj=$(($(wc -l < "${data}/wav.scp") < nj ? $(wc -l < "${data}/wav.scp") : nj))
for job in $(seq "${nj}"); do
    awk -v nj="${nj}" -v job="${job}" 'NR % nj == job % nj' "${data}/wav.scp" > "${logdir}/keys.${job}.scp"
done

options=(--config "${inference_config}" --ngpu "${ngpu}" --asr_train_config "${asr_train_config}"
    --asr_model_file "${asr_model_file}" --data_path_and_name_and_type "${data}/wav.scp,speech,sound")
if [ -n "${prune}" ]; then
    python3 local/allowed_languages.py --groups "${prune}" "${data}/utt2lang" "${unfinished}/utt2langs"
    options+=(--utt2langs "${unfinished}/utt2langs")
fi
# One thread each, as for any of Kaldi's jobs: test sets and jobs run side by side, and threads of several would wait for
# each other at every small operation.
export OMP_NUM_THREADS=1
echo "decoding $(wc -l < "${data}/wav.scp") utterances of ${data} in ${nj} job(s); see ${logdir}/*.log"
${decode_cmd} --gpu "${ngpu}" JOB=1:"${nj}" "${logdir}/asr_inference.JOB.log" \
    python3 -m espnet_blrmoe.run -m espnet2.bin.asr_inference "${options[@]}" \
    --key_file "${logdir}/keys.JOB.scp" --output_dir "${logdir}/output.JOB" ${inference_args}

local/gather_results.sh "${logdir}" "${unfinished}" text token token_int score lang timeline expert_frames
rm -rf "${output_dir}"
mv "${unfinished}" "${output_dir}"
echo "$(wc -l < "${output_dir}/text") utterances decoded: ${output_dir}/text"
