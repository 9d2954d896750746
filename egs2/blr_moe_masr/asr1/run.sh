#!/usr/bin/env bash
# BLR-MoE: multilingual speech recognition with a language-routed mixture of experts, stage by stage.
# Usage: ./run.sh [--stage N] [--stop_stage N] [--corpus espeak|"NAME ..."] [--langs "de en es pt"] [options]
set -e -u -o pipefail

stage=1                     # first stage
stop_stage=                 # last stage; default: the last of all
ngpu=0                      # GPUs of each machine for training; 0 trains on the CPU
num_nodes=1                 # machines for training, with --torchrun or a cuda_cmd in cmd.sh that finds them
host=                       # machines for training by ssh, with their GPUs: "host1:0:1,host2:0:1"
torchrun=                   # options of torchrun, which then starts the training; run.sh is started on every machine
                            # (docs/multi_gpu.md)
nj=2                        # parallel jobs for audio
inference_nj=1              # parallel jobs for every decoding; test sets run side by side
corpus=espeak               # one or several corpora, together: "commonvoice mls=/data/mls"; without a folder, the one
                            # in db.sh is taken. espeak is synthesised at stage 1. docs/corpora.md has more
out_of_domain=              # corpora for a test only, named in the same way
langs=                      # language codes; default: all that the corpora have (espeak: "de en es pt"; it has others:
                            # docs/corpora.md)
digits=kept                 # kept, or spelled: numbers in words, in transcripts and when scoring
train_hours=                # hours of training speech that --corpus espeak makes; default: 4.5
test_mixed=                 # recordings of a further test set that --corpus espeak makes, test_mixed, in which the
                            # language changes; default: none
test_sentences=             # sentences per language and test set that --corpus espeak makes; default: 100
speed_perturb_factors=      # e.g. "0.9 1.0 1.1"; default: none
fs=16000                    # sampling rate of the audio in dump/, also 16k
audio_format=wav            # of the audio in dump/: wav, or flac: half the space, but longer to read
min_wav_duration=0.1        # seconds of the shortest training utterance
max_wav_duration=20         # seconds of the longest training utterance
token_type=char             # char, or bpe: sentencepiece pieces and, for characters without a piece, the 256 bytes
nbpe=500                    # sentencepiece pieces
bpemode=bpe                 # bpe, unigram, or char: one piece per character
bpe_temperature=5           # languages count in proportion to their characters^(1/T) for the pieces
bpe_per_language=false      # true: --nbpe pieces for each language, together the vocabulary
bpe_char_cover=0.9995       # share of the text whose characters get pieces
feats_normalize=utterance_mvn  # as the configuration says; global_mvn, or running_mvn: by statistics, for which stage
                            # 10 reads all audio
num_splits_asr=1            # training goes through this many parts of the training set, one after the other, and needs
                            # memory for the tables of one part only
asr_config=                 # default: what the first corpus names, conf/train_asr.yaml for espeak and
                            # conf/train_asr_commonvoice.yaml for real speech
streaming=false             # true: a model that follows a stream, decoded as one (docs/streaming.md); --asr_config is
                            # then conf/tuning/train_asr_demo_streaming.yaml by default, --feats_normalize running_mvn
chunk_ms="160 320 640"      # with --streaming, a decoding for each: milliseconds of audio that are recognised at a time
from_dense=                 # start from a trained dense model of ESPnet: its folder, packed file, URL or name, or the
                            # configuration (.yaml) of one that is trained first (docs/from_dense.md)
asr_args=                   # further options of the training, with quotes as in a shell; the schedules of conf/ end with
                            # their max_epoch, so more epochs need --scheduler_conf too
asr_tag=                    # of the experiment folder, exp/asr_TAG; default: configuration, corpora and tokens
use_ngram=false             # true: a word n-gram for each language, with which stages 12 and 17 decode too (docs/ngram.md)
ngram_num=3                 # words of an n-gram: 2 to 5
lm_train_text=              # folder with further text for them: de.txt, en.txt, ..., a sentence a line
inference_config=conf/decode_asr.yaml  # configuration of the decodings
inference_args=             # further options of the decodings
inference_asr_model=valid.cer_ctc.ave.pth  # checkpoint to decode with
inference_tag=              # name of the decodings' folders, decode_...; default: the name of --inference_config
router_config=              # of router fine-tuning; default: conf/train_router.yaml, with --streaming
                            # conf/train_router_streaming.yaml, whose router waits for no frame
router_args=                # further options of router fine-tuning
router_pairs=               # data directories with audio-language pairs for the router (wav.scp, utt2lang; no text);
                            # default: dump/raw/router_train or, if there is none, the ASR training set
router_utterances=          # this many pairs of every language are enough; default: all
allowed_languages="pairs; own"  # lists, separated by semicolons, of further decodings with the fine-tuned router:
                            # own, an utterance's own language; groups of languages ("es,pt de,en" allows each utterance
                            # the languages of its group); pairs, groups of two in the order of their codes
hf_repo=                    # user/model on the Hugging Face hub to upload to
datadir=data                # data directories of stages 1 and 2, and lists of tokens
dumpdir=dump                # formatted audio and its tables
expdir=exp                  # models and results
downloads=downloads         # audio of corpora that are made here
python=python3              # the Python of all programs

STAGES=(  # number, name and what it makes; numbers are those of ESPnet's asr.sh where the work is the same
    " 1 data       data/: audio, transcripts and languages of the corpora"
    " 2 speed      data/train_sp/: speed perturbation of the training set, with --speed_perturb_factors"
    " 3 format     dump/raw/org/: every clip as --fs mono; clips already in that form stay where they are"
    " 4 length     dump/raw/: clips that are too short or too long leave the training and validation sets"
    " 5 tokens     data/token_list/: sentencepiece BPE over all languages, or characters"
    " 6 texts      exp/ngram_*/texts/: the text of each language, with --use_ngram true"
    " 7 ngram      exp/ngram_*/*.arpa: a word n-gram for each language, with --use_ngram true"
    " 8 perplexity exp/ngram_*/perplexity.tsv: what the n-grams know of the validation set, with --use_ngram true"
    "10 statistics exp/asr_stats_*/: lengths and feature statistics"
    "11 training   exp/asr_*/: the ASR model with its router"
    "12 decoding   exp/asr_*/decode_*/: transcripts, all languages allowed"
    "13 scoring    exp/asr_*/RESULTS.md: error rates and language identification"
    "16 router     exp/router_*/: router fine-tuning on audio-language pairs, without transcripts"
    "17 redecoding exp/asr_*/decode_*_router*/: with the fine-tuned router; all languages, and --allowed_languages"
    "18 rescoring  exp/asr_*/RESULTS.md: by language and domain, and what each step changed"
    "19 report     exp/asr_*/report.html"
    "20 pack       exp/asr_*/*.zip: the model for espnet_model_zoo"
    "21 upload     the same on the Hugging Face hub; without --hf_repo, a dry run"
)

. "$(dirname "$0")/local/shared/start.sh"

if begin data; then
    read -ra chosen <<< "${langs//,/ }"
    local/data.sh --corpus "${corpus}" --out_of_domain "${out_of_domain}" --langs "${chosen[@]}" \
        --digits "${digits}" --min_wav_duration "${min_wav_duration}" --max_wav_duration "${max_wav_duration}" \
        --data_dir "${datadir}" --downloads "${downloads}" --nj "${nj}" ${train_hours:+--train_hours "${train_hours}"} \
        ${test_sentences:+--test_sentences "${test_sentences}"} ${test_mixed:+--test_mixed "${test_mixed}"}
    rm -f "${asr_exp}/stage_times.tsv"
fi

if begin speed; then
    need "${datadir}/train/wav.scp" data
    if in_checkout; then
        asr_stage speed
    elif [ -n "${speed_perturb_factors}" ]; then
        "${python}" local/perturb_data_dir_speed.py --factors "${speed_perturb_factors}" \
            "${datadir}/train" "${datadir}/train_sp"
    fi
fi

if begin format; then
    need "${datadir}/${train_set}/wav.scp" data
    if in_checkout; then
        asr_stage format
        mapfile -t sets < <(router_sets)
    else
        mapfile -t sets < <(echo "${train_set}"; echo valid; test_sets; router_sets)
    fi
    for dset in "${sets[@]}"; do
        org=$([[ "${dset}" == test_* ]] || echo org/)  # test sets are not filtered by length
        "${python}" local/format_wav_scp.py --nj "${nj}" --cmd "${train_cmd}" --fs "${fs}" \
            --audio_format "${audio_format}" "${datadir}/${dset}" "${dumpdir}/raw/${org}${dset}"
    done
fi

if begin length; then
    if in_checkout; then
        asr_stage length
        mapfile -t sets < <(router_sets)
    else
        mapfile -t sets < <(echo "${train_set}"; echo valid; router_sets)
    fi
    for dset in "${sets[@]}"; do
        need "${dumpdir}/raw/org/${dset}/wav.scp" format
        "${python}" local/filter_by_length.py --fs "${fs}" --min_wav_duration "${min_wav_duration}" \
            --max_wav_duration "${max_wav_duration}" "${dumpdir}/raw/org/${dset}" "${dumpdir}/raw/${dset}"
    done
    check_data
fi

if begin tokens; then
    need "${dumpdir}/raw/${train_set}/text" length
    find_folders "${train_set}" valid
    mkdir -p "${token_dir}"
    if [ ${#dense_model[@]} -gt 0 ]; then
        "${python}" local/dense_tokens.py "${dense_model[@]}" --token_type "${token_type}" --fs "${fs}" \
            --text "${dumpdir}/raw/${train_set}/text" --output_dir "${token_dir}"
    elif [ "${token_type}" = bpe ]; then
        "${python}" local/train_sentencepiece.py --nbpe "${nbpe}" --bpemode "${bpemode}" \
            --bpe_temperature "${bpe_temperature}" --bpe_char_cover "${bpe_char_cover}" \
            $([ "${bpe_per_language}" = true ] && echo --bpe_per_language) "${dumpdir}/raw/${train_set}" "${token_dir}"
    else
        local/char_tokens.sh "${dumpdir}/raw/${train_set}/text" "${token_list}"
    fi
    echo "$(wc -l < "${token_list}") tokens in ${token_list}"
    tokens=(--token_list "${token_list}")
    [ "${token_type}" != bpe ] || tokens+=(--bpemodel "${bpemodel}")
    "${python}" local/token_table.py --fs "${fs}" "${tokens[@]}" "${folders[@]}"
fi

if begin texts && [ "${use_ngram}" = true ]; then
    need "${datadir}/train/text" data  # without speed perturbation, which has every sentence several times
    "${python}" local/ngram_texts.py ${lm_train_text:+--text "${lm_train_text}"} --digits "${digits}" \
        "${datadir}/train" "${ngram_exp}/texts"
fi

if begin ngram && [ "${use_ngram}" = true ]; then
    need "${ngram_exp}/texts" texts
    "${python}" local/train_ngram.py --ngram_num "${ngram_num}" "${ngram_exp}/texts" "${ngram_exp}"
fi

if begin perplexity && [ "${use_ngram}" = true ]; then
    need "${dumpdir}/raw/valid/text" length
    "${python}" local/ngram_perplexity.py "${ngram_exp}" "${dumpdir}/raw/valid"
fi

if begin statistics; then
    need "${token_list}" tokens
    check_data
    if in_checkout && [ -z "${from_dense}" ]; then
        asr_stage statistics
    else
        find_asr_options "${dumpdir}/raw/${train_set}" "${dense_config:-${asr_config}}"
        local/collect_stats.sh --train_dir "${dumpdir}/raw/${train_set}" --valid_dir "${dumpdir}/raw/valid" \
            --token_list "${token_list}" --token_type "${token_type}" --feats_normalize "${feats_normalize}" \
            --num_splits_asr "${num_splits_asr}" --nj "${nj}" --output_dir "${asr_stats_dir}" \
            -- "${asr_options[@]}" "${further_asr[@]}"
    fi
fi

machines=(--ngpu "${ngpu}" --num_nodes "${num_nodes}" --host "${host}" --torchrun "${torchrun}")
if begin training; then
    need "${asr_stats_dir}/train/speech_shape" statistics
    note_what_is_trained_on "${asr_exp}"
    if in_checkout && [ -z "${host}${torchrun}${from_dense}" ]; then  # asr.sh knows none of them
        asr_stage training
    elif [ -z "${from_dense}" ]; then
        train_asr "${asr_config}" "${asr_exp}"
    else
        make_from_dense
        train_asr "${asr_exp}/from_dense/config.yaml" "${asr_exp}" --init_param "${asr_exp}/from_dense/model.pth"
    fi
fi

if begin decoding; then
    need "${asr_model_file}" training
    if in_checkout && [ "${streaming}" = false ]; then
        asr_stage decoding
    else
        decode_test_sets "" --asr_train_config "${asr_exp}/config.yaml" --asr_model_file "${asr_model_file}"
    fi
    decode_with_ngram "" --asr_train_config "${asr_exp}/config.yaml" --asr_model_file "${asr_model_file}"
fi

if begin scoring; then
    ! in_checkout || asr_stage scoring
    "${python}" local/score.py "${asr_exp}" --data "${dumpdir}/raw" --digits "${digits}"
fi

if begin router && has_router router; then
    check_data
    pairs=() valid_pairs=${dumpdir}/raw/valid
    for dset in $(router_sets); do
        [ "${dset}" = router_valid ] && valid_pairs=${dumpdir}/raw/${dset} || pairs+=("${dumpdir}/raw/${dset}")
    done
    [ ${#pairs[@]} -gt 0 ] || pairs=("${dumpdir}/raw/${train_set}")
    mkdir -p "${router_exp}/before"  # the model as stage 12 decodes it
    ln -sfn "$(realpath "${asr_exp}/config.yaml")" "${router_exp}/before/config.yaml"
    ln -sfn "$(realpath "${asr_model_file}")" "${router_exp}/before/model.pth"
    [ -z "${router_pairs}" ] || pairs=("${router_pairs}")
    "${python}" local/router_pairs.py ${router_utterances:+--utterances "${router_utterances}"} \
        "${pairs[@]}" "${router_exp}/pairs"
    "${python}" local/check_languages.py --asr_train_config "${asr_exp}/config.yaml" "${router_exp}/pairs"
    rm -f "${router_exp}/model.pth"  # until the new one is written, there is none
    mapfile -t data < <(data_options "${router_exp}/pairs" "${valid_pairs}" wav.scp,speech,sound utt2lang,lid,text)
    local/train.sh "${machines[@]}" --log "${router_exp}/train.log" -- espnet_blrmoe.bin.router_train \
        --config "${router_config}" --model "${router_exp}/before" --output_dir "${router_exp}" "${data[@]}" \
        --train_shape_file "${router_exp}/pairs/utt2num_samples" --valid_shape_file "${valid_pairs}/utt2num_samples" \
        "${further_router[@]}"
    find_folders
    "${python}" -m espnet_blrmoe.bin.router_eval --model "${router_exp}/before" --model "${router_exp}" \
        --ngpu "$((ngpu > 0))" "${folders[@]/#/--data_dir=}" --output "${router_exp}/lid.tsv"
fi

if begin redecoding && has_router redecoding; then
    need "${router_exp}/model.pth" router
    [ ! "${asr_model_file}" -nt "${router_exp}/model.pth" ] \
        || die "${router_exp}/model.pth is older than ${asr_model_file}: fine-tune the router again"
    decode_test_sets _router --model "${router_exp}"
    decode_with_ngram _router --model "${router_exp}"
    IFS=';' read -ra lists <<< "${allowed_languages}"
    for list in "${lists[@]}"; do
        list=$(xargs <<< "${list}")
        ending=$([ "${list}" = own ] && echo pruned || tr ' ,' '_-' <<< "${list}")
        decode_test_sets "_router_${ending}" --model "${router_exp}" --allowed_languages "${list}"
    done
fi

if begin rescoring; then
    "${python}" local/score.py "${asr_exp}" --data "${dumpdir}/raw" --digits "${digits}"
fi

if begin report; then
    report=${asr_exp}/report.html
    "${python}" local/report.py "${asr_exp}" --data "${dumpdir}/raw" --router_exp "${router_exp}" --output "${report}"
fi

if begin pack; then
    packed=(--model "${router_exp}")
    has_router pack > /dev/null \
        || packed=(--asr_train_config "${asr_exp}/config.yaml" --asr_model_file "${asr_model_file}")
    "${python}" local/pack.py "${packed[@]}" --results "${asr_exp}/RESULTS.md" --outpath "${asr_exp}/${asr_tag}.zip"
fi

if begin upload; then
    "${python}" local/upload.py ${hf_repo:+--repo "${hf_repo}"} "${asr_exp}/${asr_tag}.zip"
fi
finish
log "done${report:+; the report is ${report}}"
