# The standard stages by the asr.sh of an ESPnet checkout, where there is one. What asr.sh needs, and why stages 1 and 5
# are the recipe's own: docs/espnet_checkout.md.
in_checkout() { [ -e asr.sh ]; }
if in_checkout; then
    [ "${num_splits_asr}" -eq 1 ] \
        || die "asr.sh of ESPnet does not split the table of languages: leave out --num_splits_asr"
    [[ "${python}${dumpdir}${asr_exp}" =~ ^[[:alnum:]/._+:@%-]*$ ]] \
        || die "Kaldi's scripts hand names to a shell: in an ESPnet checkout --python, --dumpdir, --expdir and --asr_tag" \
            "must have no blanks, quotes and the like"
    [ "${datadir}" = data ] || die "asr.sh of ESPnet always prepares data/: leave out --datadir"
fi

# asr_stage NAME: does a stage with asr.sh, or ends run.sh.
asr_stage() {
    local number name what
    case "$1" in
        speed) [ -z "${speed_perturb_factors}" ] || need_program sox ;;
        format) "${python}" -c "import resampy" 2> /dev/null \
            || die "asr.sh formats audio with resampy, which $(command -v "${python}") lacks: pip install resampy"
            ! compgen -G "${datadir}/*/stretches" > /dev/null \
                || die "asr.sh of ESPnet does not know ${datadir}/*/stretches: write the times into utt2lang" \
                    "(docs/corpora.md)"
            ;;
        decoding)
            find_folders
            "${python}" local/check_languages.py --asr_train_config "${asr_exp}/config.yaml" "${folders[@]}" || exit 1
            rm -rf "${asr_exp:?}/${inference_tag}"  # rather no result than a mixture of old and new
            ;;
        scoring) need_program sclite ;;
    esac
    stage_line "$1"
    asr_sh "$1" "${number}" || die "stage ${number} failed in asr.sh; its messages are above"
    case "$1" in
        length) carry_tables ;;
        decoding) gather_languages ;;
    esac
}

need_program() {
    command -v "$1" > /dev/null || die "asr.sh needs $1, which is not on PATH: install it" \
        "(ESPnet's tools/installers has install_sctk.sh for sclite; Debian has packages sox and sctk)"
}

asr_sh() {  # asr_sh NAME NUMBER
    local programs="${python} -m espnet_blrmoe.run" asr_options='' batch_size words
    [ "$1" != scoring ] || programs=${python}  # it needs no plugin, whose import takes most of a program's start
    batch_size=$(sed -nE 's/^batch_size: *([0-9]+).*/\1/p' "${inference_config}")
    if [[ "$1" =~ ^(statistics|training|decoding|scoring)$ ]]; then
        mapfile -t words < <(language_options "${dumpdir}/raw/${train_set}")
        # asr.sh gives statistics to global_mvn only; the training reads the last --normalize.
        [ "$1 ${feats_normalize}" != "training running_mvn" ] || words+=(--normalize running_mvn)
        if [ "${token_type}" = bpe ]; then
            # asr.sh looks for sentencepiece models in one folder for all; the model is to remember its own.
            ln -sfn "${tokens_tag}" "${datadir}/token_list/bpe_unigram${nbpe}"
            words+=(--token_list "${token_list}" --bpemodel "${bpemodel}")
        fi
        printf -v asr_options '%q ' "${words[@]}"  # run.pl, slurm.pl and their like hand words to a shell once more
    fi
    ./asr.sh --stage "$2" --stop_stage "$2" --python "${programs}" \
        --dumpdir "${dumpdir}" --expdir "${expdir}" --asr_exp "${asr_exp}" --asr_stats_dir "${asr_stats_dir}" \
        --train_set train --valid_set valid --test_sets "$(test_sets | paste -sd' ')" --lm_train_text data/train/text \
        --ngpu "${ngpu}" --num_nodes "${num_nodes}" --nj "${nj}" --speed_perturb_factors "${speed_perturb_factors}" \
        --fs "${fs}" --audio_format "${audio_format}" \
        --min_wav_duration "${min_wav_duration}" --max_wav_duration "${max_wav_duration}" \
        --token_type "${token_type}" --nbpe "${nbpe}" --use_lm false \
        --feats_normalize "${feats_normalize/running/global}" --asr_config "${asr_config}" \
        --asr_args "${asr_options}${asr_args}" \
        --gpu_inference "$([ "${ngpu}" -gt 0 ] && echo true || echo false)" --inference_nj "${inference_nj}" \
        --inference_config "${inference_config}" --inference_args "${inference_args}" \
        --inference_tag "${inference_tag}" --inference_asr_model "${inference_asr_model}" \
        --batch_size "${batch_size:-1}"  # asr.sh gives one in any case, and it counts more than the configuration's
}

# Kaldi's scripts carry every table of a data directory but these.
carry_tables() {
    local dset table
    for dset in "${train_set}" valid $(test_sets); do
        for table in utt2domain timeline; do
            [ ! -e "data/${dset}/${table}" ] || awk 'NR == FNR { kept[$1]; next } $1 in kept' \
                "${dumpdir}/raw/${dset}/wav.scp" "data/${dset}/${table}" > "${dumpdir}/raw/${dset}/${table}" || exit 1
        done
    done
}

# asr.sh gathers the transcripts of the decoding jobs, not what they say of the language.
gather_languages() {
    for dset in $(test_sets); do
        local/gather_results.sh "${asr_exp}/${inference_tag}/${dset}/logdir" "${asr_exp}/${inference_tag}/${dset}" \
            lang timeline expert_frames || exit 1
    done
}
