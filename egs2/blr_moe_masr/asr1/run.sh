#!/usr/bin/env bash
# BLR-MoE: multilingual speech recognition with a language-routed mixture of experts, stage by stage.
set -e -u -o pipefail

help_message=$(cat << EOF
Usage: ./run.sh [--stage N] [--stop_stage N] [--corpus espeak|"NAME ..."] [--langs "de en es pt"] [options]

Stages (numbers are those of ESPnet's asr.sh where the work is the same):
   1 data          data/: audio, transcripts and languages of the corpus
   2 speed         speed perturbation of the training set (--speed_perturb_factors)
   3 format        dump/raw/org/: every clip as ${fs:-16k} mono; what is so already stays where it is
   4 length        dump/raw/: clips that are too short or too long leave the training and validation sets
   5 tokens        data/token_list/: sentencepiece BPE over all languages, or characters
 6-9               language model and n-gram: left out
  10 statistics    exp/asr_stats_*/: shapes and feature statistics
  11 training      exp/asr_*/: the ASR model with its router
  12 decoding      all languages allowed
  13 scoring       error rates and language identification
  16 router        router fine-tuning on audio-language pairs, without transcripts
  17 decoding      with the fine-tuned router: all languages, and pruned to the allowed ones (--prune)
  18 scoring       by language and domain: exp/asr_*/RESULTS.md
  19 report        exp/asr_*/report.html
  20 pack          one zip for espnet_model_zoo
  21 upload        to the Hugging Face hub (--hf_repo; without it, a dry run)

Options:
  --stage, --stop_stage     first and last stage (default 1 and 21)
  --ngpu                    GPUs of each machine for training; 0 trains on the CPU (default 0)
  --num_nodes               machines for training (default 1), with --torchrun or a cuda_cmd in cmd.sh that finds them
  --host                    machines for training by ssh, with their GPUs: "host1:0:1,host2:0:1"
  --torchrun                options of torchrun, which then starts the training; run.sh is started on every machine
                            (docs/multi_gpu.md)
  --nj                      parallel jobs for audio (default 2)
  --inference_nj            parallel jobs for every decoding (default 1; test sets run side by side)
  --corpus                  espeak: synthesised at stage 1 (default); or one or several of commonvoice, fleurs, mls,
                            librispeech, aishell, voxpopuli and manifest, together; their folders are those of db.sh,
                            or named here: "commonvoice mls=/data/mls". docs/corpora.md has all about them
  --out_of_domain           corpora for a test alone, named in the same way
  --langs                   language codes (default: "de en es pt"; for other corpora: all that they have)
  --digits                  kept (default), or spelled: numbers in words, in transcripts and when scoring
  --router_pairs            data directories with audio-language pairs for the router (wav.scp, utt2lang; no text);
                            default: the ASR training set and, if there is one, dump/raw/router_train
  --router_utterances       so many pairs of every language are enough (default: all)
  --train_hours             hours of training speech that --corpus espeak makes
  --test_sentences          sentences per language and test set that --corpus espeak makes
  --speed_perturb_factors   e.g. "0.9 1.0 1.1" (default: none)
  --min_wav_duration, --max_wav_duration   seconds (default 0.1 and 20)
  --token_type, --nbpe      char (default) or bpe: sentencepiece with this many pieces (default 500) and, for characters
                            without a piece, the 256 bytes
  --bpemode                 bpe (default), unigram, or char: a piece a character
  --bpe_temperature         languages count in proportion to their characters^(1/T) for --nbpe pieces (default 5)
  --bpe_per_language        true: --nbpe pieces for each language, together the vocabulary (default false)
  --bpe_char_cover          share of the text whose characters get pieces (default 0.9995)
  --asr_config, --router_config, --inference_config   files in conf/ (conf/train_asr.yaml; for real
                            speech conf/train_asr_commonvoice.yaml)
  --asr_args, --router_args, --inference_args         further options of the training and decoding programs; the
                            schedules of conf/ end with their max_epoch, so more epochs need --scheduler_conf too
  --inference_asr_model     checkpoint to decode with (default valid.cer_ctc.ave.pth)
  --asr_tag                 name of the experiment folder, exp/asr_TAG
  --inference_tag           name of the decodings' folders in it, decode_... (default: --inference_config's name)
  --prune                   own: every test utterance is decoded with its language alone (default), or groups of
                            languages: "es,pt de,en" allows each utterance the languages of its group
  --fs, --audio_format      of the audio in dump/ (default 16000 and wav)
  --feats_normalize         utterance_mvn (default), or global_mvn: by statistics of the training set, for which stage 10
                            reads all audio
  --num_splits_asr          training goes through so many parts of the training set, one after the other, and needs
                            memory for the tables of one alone (default 1)
  --hf_repo                 user/model on the Hugging Face hub, for stage 21
  --datadir, --dumpdir, --expdir, --downloads   where everything goes (default data, dump, exp)
EOF
)

log() { echo "$(date '+%H:%M:%S') (run.sh) $*"; }

stage=1
stop_stage=21
ngpu=0
num_nodes=1
host=
torchrun=
nj=2
inference_nj=1
corpus=espeak
out_of_domain=
langs=
digits=kept
router_pairs=
router_utterances=
train_hours=
test_sentences=
speed_perturb_factors=
fs=16000
audio_format=wav            # decoding flac in every epoch would cost training time
feats_normalize=utterance_mvn
num_splits_asr=1
min_wav_duration=0.1
max_wav_duration=20
token_type=char
nbpe=500
bpemode=bpe
bpe_temperature=5
bpe_per_language=false
bpe_char_cover=0.9995
asr_config=
router_config=conf/train_router.yaml
inference_config=conf/decode_asr.yaml
asr_args=
router_args=
inference_args=
inference_asr_model=valid.cer_ctc.ave.pth
asr_tag=
inference_tag=
prune=own
hf_repo=
datadir=data
dumpdir=dump
expdir=exp
downloads=downloads
python=python3

# Corpora named on the command line may lie relative to where run.sh was started.
for corpus_folder in COMMONVOICE FLEURS MLS LIBRISPEECH AISHELL VOXPOPULI MANIFEST; do
    [ -z "${!corpus_folder:-}" ] || export "${corpus_folder}=$(realpath -m "${!corpus_folder}")"
done
cd "$(dirname "$0")"
. local/parse_options.sh
. ./path.sh
. ./cmd.sh
. ./db.sh

langs=${langs//,/ }
fs=${fs/%k/000}
if [ "${corpus}" = espeak ]; then
    langs=${langs:-"de en es pt"}
    asr_config=${asr_config:-conf/train_asr.yaml}
else
    asr_config=${asr_config:-conf/train_asr_commonvoice.yaml}
fi
train_set=train
[ -n "${speed_perturb_factors}" ] && train_set=train_sp
tokens_tag=${token_type}
if [ "${token_type}" = bpe ]; then
    tokens_tag=bpe$([ "${bpemode}" = bpe ] || echo "_${bpemode}")${nbpe}
    [ "${bpe_per_language}" = false ] || tokens_tag+=_per_language
fi
token_dir=${datadir}/token_list/${tokens_tag}
token_list=${token_dir}/tokens.txt
bpemodel=none
[ "${token_type}" = bpe ] && bpemodel=${token_dir}/bpe.model
data_tag=raw
if [ "${corpus}" != espeak ]; then
    for word in ${corpus}; do data_tag+=_${word%%[:=]*}; done
fi
data_tag+=_${tokens_tag}
[ -n "${speed_perturb_factors}" ] && data_tag+=_sp
asr_tag=${asr_tag:-$(basename "${asr_config}" .yaml)_${data_tag}}
asr_stats_dir=${expdir}/asr_stats_${data_tag}
asr_exp=${expdir}/asr_${asr_tag}
router_exp=${expdir}/router_${asr_tag}
asr_model_file=${asr_exp}/${inference_asr_model}
inference_tag=${inference_tag:-$(basename "${inference_config}" .yaml)}

die() { echo "$*" >&2; exit 1; }
# Background jobs of a script ignore Ctrl-C, and would go on decoding.
trap 'trap "" TERM; kill 0; exit 130' INT
for option in stage stop_stage ngpu num_nodes nj inference_nj nbpe fs num_splits_asr; do
    [[ "${!option}" =~ ^[0-9]+$ ]] || die "--${option} must be a whole number, not '${!option}'"
done
for option in stage num_nodes nj inference_nj nbpe fs num_splits_asr; do
    [ "${!option}" -gt 0 ] || die "--${option} must be at least 1"
done
[ "${stage}" -le "${stop_stage}" ] && [ "${stage}" -le 21 ] && ! [ "${stage}" -ge 14 -a "${stop_stage}" -le 15 ] \
    || die "no stage lies between --stage ${stage} and --stop_stage ${stop_stage}; ./run.sh --help lists them"
if [ "${corpus}" = espeak ]; then
    [ -z "${out_of_domain}" ] || die "--out_of_domain: espeak has an out-of-domain test of its own"
else
    for word in ${corpus} ${out_of_domain}; do
        [ -f "local/corpora/${word%%[:=]*}.py" ] || die "corpus ${word%%[:=]*} is unknown; choose espeak, or some of" \
            "$(basename -s .py -a local/corpora/[a-z]*.py | xargs)"
    done
fi
[[ "${digits}" =~ ^(kept|spelled)$ ]] || die "--digits ${digits}: unknown; choose kept or spelled"
[[ "${token_type}" =~ ^(char|bpe)$ ]] || die "--token_type ${token_type}: unknown; choose char or bpe"
[[ "${bpemode}" =~ ^(bpe|unigram|char)$ ]] || die "--bpemode ${bpemode}: unknown; choose bpe, unigram or char"
[[ "${bpe_per_language}" =~ ^(true|false)$ ]] || die "--bpe_per_language must be true or false, not '${bpe_per_language}'"
[[ "${feats_normalize}" =~ ^(utterance|global)_mvn$ ]] \
    || die "--feats_normalize ${feats_normalize}: unknown; choose utterance_mvn or global_mvn"
[[ "${inference_tag}" == decode_* ]] || die "--inference_tag must begin with decode_, not '${inference_tag}'"
[[ ! "${inference_tag}" =~ _(router|pruned)$ ]] \
    || die "--inference_tag must not end in _router or _pruned, which stage 17 adds, as '${inference_tag}' does"
for file in "${asr_config}" "${router_config}" "${inference_config}"; do
    [ -f "${file}" ] || die "${file} does not exist; the configurations are in conf/ and conf/tuning/"
done
[ -z "${host}" ] || [ -z "${torchrun}" ] || die "--host and --torchrun are two ways to start a training: choose one"
[ -z "${host}" ] || [ "${num_nodes}" -eq 1 ] || die "--host names the machines; leave --num_nodes out"
[ "${num_nodes}" -eq 1 ] || [ -n "${torchrun}" ] || [ "${cuda_cmd}" != local/run_jobs.sh ] \
    || die "--num_nodes ${num_nodes}: ${cuda_cmd} knows this machine alone; name the machines with --host, start run.sh" \
        "on each of them with --torchrun, or set cuda_cmd in cmd.sh to slurm.pl"
run() { ${python} -m espnet_blrmoe.run "$@"; }

# The stages' times, for the report.
begin() {
    [ "${stage}" -le "$1" ] && [ "$1" -le "${stop_stage}" ] || return 1
    finish
    log "stage $1: $2"
    current="$1	$2" started=${SECONDS}
}
current= started=0
finish() {
    [ -n "${current}" ] || return 0
    mkdir -p "${asr_exp}"
    printf '%s\t%d\n' "${current}" "$((SECONDS - started))" >> "${asr_exp}/stage_times.tsv"
    current=
}
need() {  # need FILE STAGE
    [ -e "$1" ] || die "$1 does not exist: run stage $2 first (./run.sh --stage $2 ...)"
}
# train LOG MODULE OPTION...: a training by the module, on the GPUs and machines that the options say.
train() {
    local log=$1 program=(-m espnet_blrmoe.run -m "${@:2}") where quoted
    if [ -n "${torchrun}" ]; then
        # Processes that are started anew must not find each other's old addresses (pytorch/pytorch#135712).
        TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 ${python} -m torch.distributed.run --nnodes "${num_nodes}" \
            --nproc_per_node "$((ngpu > 1 ? ngpu : 1))" ${torchrun} "${program[@]}" \
            --multiprocessing_distributed false --ngpu "$((ngpu > 0))" \
            --dist_backend "$([ "${ngpu}" -gt 0 ] && echo nccl || echo gloo)" 2>&1
    elif [ -z "${host}" ] && [ "${cuda_cmd}" = local/run_jobs.sh ]; then
        ${python} "${program[@]}" --multiprocessing_distributed true --ngpu "${ngpu}" 2>&1
    else
        where=(--num_nodes "${num_nodes}" --cmd "${cuda_cmd} --name ${log}")
        [ -z "${host}" ] || where=(--host "${host}")
        mapfile -t quoted < <(printf '%q\n' ${python} "${program[@]}")  # a shell over there reads the words again
        rm -f "${log%.log}.job.log"
        ${python} -m espnet2.bin.launch "${where[@]}" --ngpu "${ngpu}" --log "${log%.log}.job.log" \
            --init_file_prefix "$(dirname "${log}")/.dist_init_" -- "${quoted[@]}" 2>&1 &
        tail --pid=$! -n +1 -F "${log%.log}.job.log" 2> /dev/null || true  # it is not there at once
        wait $!
    fi | ${python} local/show_epochs.py "${log}"
}
# The last error of a log, without the traceback before it.
last_error() {
    [ -s "$1" ] || die "$1 is empty, though its program failed: no room?"
    { grep -E '^[A-Za-z_.]*(Error|Exception|Exit)\b' "$1" || tail -n 1 "$1"; } | tail -n 1 >&2
}
test_sets() { (cd "${datadir}" && ls -d test_*) 2> /dev/null | grep -v '\.unfinished$'; }  # of a run that was killed
# Audio-language pairs that have no transcripts; a corpus need not have any.
router_sets() { (cd "${datadir}" && ls -d router_train router_valid) 2> /dev/null || true; }

# Sets `folders` to the formatted ones of the given sets and of all test sets.
find_folders() {  # find_folders SET...
    [ -n "$(test_sets)" ] || die "${datadir}/test_* do not exist: run stage 1 first"
    folders=()
    for dset in "$@" $(test_sets); do
        need "${dumpdir}/raw/${dset}/wav.scp" 3
        folders+=("${dumpdir}/raw/${dset}")
    done
}
# Complete tables, and no language that the training set lacks.
check_data() {
    find_folders valid $(router_sets)
    ${python} local/check_languages.py --train "${dumpdir}/raw/${train_set}" "${folders[@]}"
}

# Inside an ESPnet checkout the standard stages are those of its asr.sh: `stock STAGE` does one. Here there is none.
stock() { return 1; }
[ ! -e asr.sh ] || . local/asr_stock.sh

if begin 1 "data preparation (${corpus})"; then
    local/data.sh --corpus "${corpus}" --out_of_domain "${out_of_domain}" --langs "${langs}" --digits "${digits}" \
        --min_wav_duration "${min_wav_duration}" --max_wav_duration "${max_wav_duration}" --datadir "${datadir}" \
        --downloads "${downloads}" --nj "${nj}" --train_hours "${train_hours}" --test_sentences "${test_sentences}"
    rm -f "${asr_exp}/stage_times.tsv"
fi

if begin 2 "speed perturbation (${speed_perturb_factors:-none})"; then
    need "${datadir}/train/wav.scp" 1
    stock 2 || if [ -n "${speed_perturb_factors}" ]; then
        ${python} local/perturb_data_dir_speed.py --factors "${speed_perturb_factors}" \
            "${datadir}/train" "${datadir}/train_sp"
    fi
fi

if begin 3 "audio to ${fs} Hz mono ${audio_format}"; then
    need "${datadir}/${train_set}/wav.scp" 1
    sets="${train_set} valid $(test_sets)"
    stock 3 && sets=
    for dset in ${sets} $(router_sets); do
        org=$([[ "${dset}" == test_* ]] || echo org/)  # test sets are not filtered by length
        ${python} local/format_wav_scp.py --nj "${nj}" --cmd "${train_cmd}" --fs "${fs}" \
            --audio_format "${audio_format}" "${datadir}/${dset}" "${dumpdir}/raw/${org}${dset}"
    done
fi

if begin 4 "length filter (${min_wav_duration} to ${max_wav_duration} s)"; then
    sets="${train_set} valid"
    stock 4 && sets=
    for dset in ${sets} $(router_sets); do
        need "${dumpdir}/raw/org/${dset}/wav.scp" 3
        ${python} local/filter_by_length.py --fs "${fs}" --min_wav_duration "${min_wav_duration}" \
            --max_wav_duration "${max_wav_duration}" "${dumpdir}/raw/org/${dset}" "${dumpdir}/raw/${dset}"
    done
    check_data
fi

if begin 5 "tokens (${tokens_tag})"; then
    need "${dumpdir}/raw/${train_set}/text" 4
    find_folders "${train_set}" valid
    mkdir -p "${token_dir}"
    if [ "${token_type}" = bpe ]; then
        ${python} local/train_sentencepiece.py --nbpe "${nbpe}" --bpemode "${bpemode}" \
            --bpe_temperature "${bpe_temperature}" --bpe_char_cover "${bpe_char_cover}" \
            $([ "${bpe_per_language}" = true ] && echo --bpe_per_language) "${dumpdir}/raw/${train_set}" "${token_dir}"
    else
        ${python} -m espnet2.bin.tokenize_text --token_type char --field 2- --write_vocabulary true \
            --input "${dumpdir}/raw/${train_set}/text" --output "${token_list}.unfinished" \
            --add_symbol "<blank>:0" --add_symbol "<unk>:1" --add_symbol "<sos/eos>:-1" \
            2> "${token_dir}/tokenize_text.log" || { last_error "${token_dir}/tokenize_text.log"; exit 1; }
        # The program does not notice a full disk.
        [ "$(tail -n 1 "${token_list}.unfinished")" = "<sos/eos>" ] \
            || die "${token_list} cannot be written: no room?; it is left as it was"
        mv "${token_list}.unfinished" "${token_list}"
    fi
    echo "$(wc -l < "${token_list}") tokens in ${token_list}"
    ${python} local/token_table.py --fs "${fs}" $([ "${token_type}" = bpe ] && echo "--bpemodel ${bpemodel}") \
        --token_list "${token_list}" "${folders[@]}"
fi

begin 6 "language model and n-gram (stages 6 to 9): left out" || true

data_options() {  # data_options DIR TABLE,NAME,TYPE...: what stages 10 and 11 read; DIR has the training set's tables
    local what
    for what in "${@:2}"; do
        printf '%s\n' --train_data_path_and_name_and_type "$1/${what}" \
            --valid_data_path_and_name_and_type "${dumpdir}/raw/valid/${what}"
    done
}
languages() { cut -d' ' -f2 "${dumpdir}/raw/${train_set}/utt2lang" | sort -u; }
# What a model with experts gets beside the options of any ASR model: the language of every utterance, and those of the
# training set, in this order its experts; in quotes, since YAML takes Norwegian's `no` for false.
language_options() {  # language_options TRAIN_DIR
    data_options "$1" utt2lang,lid,text
    printf '%s\n' --allow_variable_data_keys true \
        --encoder_conf "languages=[$(languages | sed "s/.*/'&'/" | paste -sd,)]"
}
find_asr_options() {  # find_asr_options TRAIN_DIR: sets `asr_options`
    mapfile -t asr_options < <(data_options "$1" wav.scp,speech,sound text,text,text; language_options "$1")
    asr_options+=(--config "${asr_config}" --frontend_conf "fs=${fs}" --token_type "${token_type}"
        --token_list "${token_list}" --bpemodel "${bpemodel}" --cleaner none --g2p none --use_preprocessor true)
}
collect_stats() {
    unfinished=${asr_stats_dir}.unfinished
    rm -rf "${unfinished}"
    mkdir -p "${unfinished}"
    train_dir=${dumpdir}/raw/${train_set} valid_dir=${dumpdir}/raw/valid
    find_asr_options "${train_dir}"
    if [ "${feats_normalize}" = global_mvn ]; then
        local/collect_stats.sh "${nj}" "${train_dir}" "${valid_dir}" "${unfinished}" "${asr_options[@]}" ${asr_args}
    else
        ${python} -m espnet_blrmoe.bin.collect_shapes "${asr_options[@]}" --output_dir "${unfinished}" ${asr_args} \
            --train_shape_file "${train_dir}/utt2num_samples" --valid_shape_file "${valid_dir}/utt2num_samples" \
            > "${unfinished}/stats.log" 2>&1 || { last_error "${unfinished}/stats.log"; exit 1; }
    fi
    # As in asr.sh, a token counts for the size of a batch as many numbers as its one-hot vector has.
    for set in train valid; do
        sed "s/\$/,$(wc -l < "${token_list}")/" "${unfinished}/${set}/text_shape" \
            > "${unfinished}/${set}/text_shape.${token_type}"
    done
    if [ "${num_splits_asr}" -gt 1 ]; then
        ${python} -m espnet2.bin.split_scps --num_splits "${num_splits_asr}" \
            --output_dir "${unfinished}/splits${num_splits_asr}" \
            --scps "${train_dir}"/{wav.scp,text,utt2lang} "${unfinished}/train"/{speech_shape,"text_shape.${token_type}"} \
            2> "${unfinished}/split.log" || { last_error "${unfinished}/split.log"; exit 1; }
    fi
    rm -rf "${asr_stats_dir}"
    mv "${unfinished}" "${asr_stats_dir}"
}

if begin 10 "statistics of the training and validation sets"; then
    need "${token_list}" 5
    check_data
    stock 10 || collect_stats
fi

if begin 11 "ASR training"; then
    need "${asr_stats_dir}/train/speech_shape" 10
    mkdir -p "${asr_exp}"
    # Training resumes what is there; it must not resume, or overwrite, a model of other data, languages or tokens.
    trained_on=$({ languages; cat "${token_list}"; cut -d' ' -f1 "${dumpdir}/raw/${train_set}/wav.scp"; } | cksum)
    # An empty file is what a full disk left of it.
    [ ! -s "${asr_exp}/trained_on" ] || [ "$(< "${asr_exp}/trained_on")" = "${trained_on}" ] \
        || die "${asr_exp} is a model of other data, languages or tokens than ${dumpdir}/raw/${train_set}:" \
            "remove it, or train beside it with --asr_tag NAME"
    echo "${trained_on}" > "${asr_exp}/trained_on"
    train_dir=${dumpdir}/raw/${train_set} train_shapes=${asr_stats_dir}/train how=()
    if [ "${num_splits_asr}" -gt 1 ]; then
        train_dir=${asr_stats_dir}/splits${num_splits_asr} train_shapes=${train_dir}
        need "${train_dir}" 10
        how+=(--multiple_iterator true)
    fi
    [ "${feats_normalize}" != global_mvn ] \
        || how+=(--normalize global_mvn --normalize_conf "stats_file=${asr_stats_dir}/train/feats_stats.npz")
    find_asr_options "${train_dir}"
    stock 11 || train "${asr_exp}/train.log" espnet2.bin.asr_train "${asr_options[@]}" "${how[@]}" \
        --resume true --output_dir "${asr_exp}" \
        --train_shape_file "${train_shapes}/speech_shape" --train_shape_file "${train_shapes}/text_shape.${token_type}" \
        --valid_shape_file "${asr_stats_dir}/valid/speech_shape" \
        --valid_shape_file "${asr_stats_dir}/valid/text_shape.${token_type}" ${asr_args}
fi

# decode TAG CONFIG MODEL_FILE: every test set, side by side.
decode() {
    tag=$1 config=$2 model_file=$3
    need "${model_file}" "$([ "${model_file}" = "${asr_model_file}" ] && echo 11 || echo 16)"
    find_folders
    ${python} local/check_languages.py --asr_train_config "${config}" --groups "${prune}" "${folders[@]}"
    pids=()
    for folder in "${folders[@]}"; do
        local/decode.sh --data "${folder}" --output_dir "${asr_exp}/${tag}/$(basename "${folder}")" \
            --asr_train_config "${config}" --asr_model_file "${model_file}" \
            --inference_config "${inference_config}" --nj "${inference_nj}" --ngpu "$((ngpu > 0))" \
            --prune "$([[ "${tag}" == *_pruned ]] && echo "${prune}")" --inference_args "${inference_args}" &
        pids+=($!)
    done
    failed=0
    for pid in "${pids[@]}"; do wait "${pid}" || failed=1; done
    return "${failed}"
}

if begin 12 "decoding, all languages allowed"; then
    stock 12 || decode "${inference_tag}" "${asr_exp}/config.yaml" "${asr_model_file}"
fi

if begin 13 "scoring"; then
    stock 13 || true
    ${python} local/score.py "${asr_exp}" --data "${dumpdir}/raw" --digits "${digits}"
fi

has_router() {  # has_router STAGE: whether there are several languages; otherwise says what is left out
    need "${asr_model_file}" 11
    need "${dumpdir}/raw/${train_set}/utt2lang" 4
    [ "$(languages | wc -l)" -gt 1 ] || { echo "one language needs no router: stage $1 is left out"; return 1; }
}
if begin 16 "router fine-tuning on audio-language pairs" && has_router 16; then
    check_data
    pairs=("${dumpdir}/raw/${train_set}") valid_pairs=${dumpdir}/raw/valid
    for dset in $(router_sets); do
        [ "${dset}" = router_valid ] && valid_pairs=${dumpdir}/raw/${dset} || pairs+=("${dumpdir}/raw/${dset}")
    done
    mkdir -p "${router_exp}"
    ${python} local/router_pairs.py ${router_utterances:+--utterances "${router_utterances}"} \
        ${router_pairs:-"${pairs[@]}"} "${router_exp}/pairs"
    rm -f "${router_exp}/asr.pth"  # until the new one is written, there is none
    router_data() {  # router_data train|valid DIR
        for what in wav.scp,speech,sound utt2lang,lid,text; do
            printf '%s\n' "--$1_data_path_and_name_and_type" "$2/${what}"
        done
        printf '%s\n' "--$1_shape_file" "$2/utt2num_samples"
    }
    mapfile -t data < <(router_data train "${router_exp}/pairs"; router_data valid "${valid_pairs}")
    # One core for the process that augments: threads that wait for it are slower than one fewer.
    OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(($(nproc) > 2 ? $(nproc) - 1 : 1))} \
        train "${router_exp}/train.log" espnet_blrmoe.bin.router_train --config "${router_config}" \
        --asr_train_config "${asr_exp}/config.yaml" --asr_model_file "${asr_model_file}" \
        --output_dir "${router_exp}" "${data[@]}" ${router_args}
    find_folders
    ${python} -m espnet_blrmoe.bin.router_eval --output "${router_exp}/lid.tsv" $(printf -- '--data_dir %s ' "${folders[@]}") \
        --model "${asr_exp}/config.yaml" "${asr_model_file}" --model "${router_exp}/asr.yaml" "${router_exp}/asr.pth"
fi

if begin 17 "decoding with the fine-tuned router: all languages, and pruned (${prune})" && has_router 17; then
    need "${router_exp}/asr.yaml" 16
    [ ! "${asr_model_file}" -nt "${router_exp}/asr.pth" ] \
        || die "${router_exp}/asr.pth is missing or older than ${asr_model_file}: run stage 16 first"
    decode "${inference_tag}_router" "${router_exp}/asr.yaml" "${router_exp}/asr.pth"
    decode "${inference_tag}_router_pruned" "${router_exp}/asr.yaml" "${router_exp}/asr.pth"
fi

if begin 18 "scoring by language and domain"; then
    ${python} local/score.py "${asr_exp}" --data "${dumpdir}/raw" --digits "${digits}"
fi

if begin 19 "report"; then
    ${python} local/report.py "${asr_exp}" --data "${dumpdir}/raw" --router_exp "${router_exp}" \
        --output "${asr_exp}/report.html"
fi

if begin 20 "packing the model"; then
    packed=("${router_exp}/asr.yaml" "${router_exp}/asr.pth")
    has_router 16 > /dev/null || packed=("${asr_exp}/config.yaml" "${asr_model_file}")
    ${python} local/pack.py --asr_train_config "${packed[0]}" --asr_model_file "${packed[1]}" \
        --results "${asr_exp}/RESULTS.md" --outpath "${asr_exp}/${asr_tag}.zip"
fi

if begin 21 "upload to the Hugging Face hub"; then
    ${python} local/upload.py ${hf_repo:+--repo "${hf_repo}"} "${asr_exp}/${asr_tag}.zip"
fi
finish
if [ "${stage}" -le 19 ] && [ 19 -le "${stop_stage}" ]; then
    log "done; the report is ${asr_exp}/report.html"
else
    log "done"
fi
