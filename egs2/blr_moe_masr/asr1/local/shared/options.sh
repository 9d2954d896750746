# The options of run.sh: checks, and the names of folders and files that follow from them.

for option in stage stop_stage ngpu num_nodes nj inference_nj nbpe num_splits_asr; do
    [[ "${!option}" =~ ^[0-9]+$ ]] || die "--${option} must be a whole number, not '${!option}'"
    [[ "${option}" =~ ^(stop_stage|ngpu)$ ]] || [ "${!option}" -gt 0 ] || die "--${option} must be at least 1"
done
[[ "${fs}" =~ ^[1-9][0-9]*k?$ ]] || die "--fs must be a sampling rate such as 16000 or 16k, not '${fs}'"
fs=${fs/%k/000}
between=$(printf '%s\n' "${STAGES[@]}" | awk -v first="${stage}" -v last="${stop_stage}" 'first <= $1 && $1 <= last')
[ -n "${between}" ] \
    || die "no stage lies between --stage ${stage} and --stop_stage ${stop_stage}; ./run.sh --help lists them"

choose() {  # choose OPTION VALUE...: the option must have one of the values
    local values=${*:2}
    [[ " ${values} " == *" ${!1} "* ]] || die "--$1 ${!1}: unknown; choose one of: ${values// /, }"
}
choose digits kept spelled
choose token_type char bpe
choose bpemode bpe unigram char
choose bpe_per_language true false
choose feats_normalize utterance_mvn global_mvn running_mvn
choose audio_format wav flac
choose streaming true false
choose use_ngram true false
choose ngram_num 2 3 4 5

for option in asr_args inference_args router_args torchrun; do
    words "${!option}" > /dev/null 2>&1 || die "--${option} ${!option}: a quote has no end"
done
mapfile -t further_asr < <(words "${asr_args}")
mapfile -t further_router < <(words "${router_args}")
for option in datadir dumpdir expdir downloads; do
    [[ ! "${!option}" =~ ^[-[:space:]]|[[:cntrl:]] ]] && grep -qax '.*' <<< "${!option}" \
        || die "--${option} $(printf %q "${!option}"): the name of the folder must be one line of UTF-8, and begin" \
            "with neither a blank nor '-'"
done

[ -z "${host}" ] || [ -z "${torchrun}" ] || die "--host and --torchrun are two ways to start a training: choose one"
[ -z "${host}" ] || [ "${num_nodes}" -eq 1 ] || die "--host names the machines; leave --num_nodes out"
[ "${num_nodes}" -eq 1 ] || [ -n "${torchrun}" ] || [ "${cuda_cmd}" != local/run_jobs.sh ] \
    || die "--num_nodes ${num_nodes}: ${cuda_cmd} runs jobs on this machine only; name the machines with --host," \
        "start run.sh on each of them with --torchrun, or set cuda_cmd in cmd.sh to slurm.pl"

settings=$("${python}" local/corpus_settings.py --corpus "${corpus}" --out_of_domain "${out_of_domain}") || exit 1
{ read -r config_of_corpus; read -r corpus_tag || true; } <<< "${settings}"
[ "${streaming}${use_ngram}" != truetrue ] || die "a stream's text is the CTC's best path: leave out --use_ngram"
if [ "${streaming}" = true ]; then
    [ -n "${chunk_ms}" ] || die "--chunk_ms is empty; it lists chunks in milliseconds, as in \"160 320 640\""
    asr_config=${asr_config:-conf/tuning/train_asr_demo_streaming.yaml}
    router_config=${router_config:-conf/train_router_streaming.yaml}
    [ "${feats_normalize}" != utterance_mvn ] || feats_normalize=running_mvn  # the other one needs the whole utterance
fi
asr_config=${asr_config:-${from_dense:+conf/train_from_dense.yaml}}
asr_config=${asr_config:-${config_of_corpus}}
router_config=${router_config:-conf/train_router.yaml}
dense_config= dense_model=()  # a dense model to train first, or a trained one
case "${from_dense}" in
    '') ;;
    *.yaml) dense_config=${from_dense} ;;
    *) dense_model=("--model$([ -d "${from_dense}" ] || echo _tag)" "${from_dense}") ;;
esac
for file in "${asr_config}" "${router_config}" "${inference_config}" ${dense_config:+"${dense_config}"}; do
    [ -f "${file}" ] || die "${file} does not exist; the configurations are in conf/ and conf/tuning/"
done
langs=${langs//,/ }

inference_tag=${inference_tag:-$(basename "${inference_config}" .yaml)}
[[ "${inference_tag}" == decode_* ]] || die "--inference_tag must begin with decode_, not '${inference_tag}'"
[[ "${inference_tag}" != *_router* && "${inference_tag}" != *_ngram ]] \
    || die "--inference_tag ${inference_tag}: _router stands for the fine-tuned router, _ngram for word n-grams; leave" \
        "it out"

train_set=train${speed_perturb_factors:+_sp}
tokens_tag=${token_type}
if [ "${token_type}" = bpe ]; then
    tokens_tag=bpe$([ "${bpemode}" = bpe ] || echo "_${bpemode}")${nbpe}
    [ "${bpe_per_language}" = false ] || tokens_tag+=_per_language
fi
if [ ${#dense_model[@]} -gt 0 ]; then
    [ "${feats_normalize}" = utterance_mvn ] \
        || die "the dense model's features stay normalised as they are: leave out --feats_normalize"
    tokens_tag=of_$(basename "${from_dense}" | tr -c '[:alnum:]\n' _)
fi
token_dir=${datadir}/token_list/${tokens_tag}
token_list=${token_dir}/tokens.txt
bpemodel=none
[ "${token_type}" != bpe ] || bpemodel=${token_dir}/bpe.model

data_tag=raw${corpus_tag}_${tokens_tag}${speed_perturb_factors:+_sp}
asr_tag=${asr_tag:-$(basename "${asr_config}" .yaml)_${data_tag}}
asr_stats_dir=${expdir}/asr_stats_${data_tag}
asr_exp=${expdir}/asr_${asr_tag}
dense_exp=${expdir}/asr_$(basename "${dense_config}" .yaml)_${data_tag}
router_exp=${expdir}/router_${asr_tag}
ngram_exp=${expdir}/ngram_${ngram_num}${corpus_tag}
asr_model_file=${asr_exp}/${inference_asr_model}
for folder in "${dumpdir}" "${router_exp}"; do
    [[ "${folder}" != *,* ]] || die "${folder}: options of ESPnet end a path at a comma; choose --dumpdir, --expdir and" \
        "--asr_tag without one"
done
trained_type=$(sed -n 's/^token_type: //p' "${asr_exp}/config.yaml" 2> /dev/null || true)
[[ "${trained_type:-${token_type}}" = "${token_type}" ]] \
    || die "--token_type ${token_type}: the tokens of ${asr_exp} are of the type ${trained_type}; give that type, or" \
        "another model's --asr_tag"
