# ESPnet's training of a speech recogniser, in stages 10 and 11.

# find_asr_options TRAIN_DIR CONFIG: sets `asr_options` to what stages 10 and 11 give to ESPnet's asr_train.
find_asr_options() {
    mapfile -t asr_options < <(data_options "$1" "${dumpdir}/raw/valid" wav.scp,speech,sound text,text,text
        language_options "$1")
    asr_options+=(--config "$2" --frontend_conf "fs=${fs}" --token_type "${token_type}" --token_list "${token_list}"
        --bpemodel "${bpemodel}" --use_preprocessor true)
}

# note_what_is_trained_on FOLDER: a training resumes what is there; it must not resume, or overwrite, a model of other
# data, languages or tokens, or one that began with another model.
note_what_is_trained_on() {
    local noted=$1/trained_on data
    data=$({ languages; cat "${token_list}"; cut -d' ' -f1 "${dumpdir}/raw/${train_set}/wav.scp"
        [ -z "${from_dense}" ] || echo "${from_dense}"; } | cksum)
    # An empty file is what a full disk left of it.
    [ ! -s "${noted}" ] || [ "$(< "${noted}")" = "${data}" ] \
        || die "$1 is a model of other data, languages or tokens than ${dumpdir}/raw/${train_set}, or of another" \
            "--from_dense: remove it, or train beside it with --asr_tag NAME"
    mkdir -p "$1"
    echo "${data}" > "${noted}"
}

# train_asr CONFIG FOLDER OPTION...: trains a model, or goes on with its training.
train_asr() {
    local train_dir=${dumpdir}/raw/${train_set} train_shapes=${asr_stats_dir}/train how=()
    if [ "${num_splits_asr}" -gt 1 ]; then
        train_dir=${asr_stats_dir}/splits${num_splits_asr} train_shapes=${train_dir} how=(--multiple_iterator true)
        need "${train_dir}" statistics
    fi
    [ "${feats_normalize}" = utterance_mvn ] \
        || how+=(--normalize "${feats_normalize}"
            --normalize_conf "stats_file=$(yaml_string "${asr_stats_dir}/train/feats_stats.npz")")
    find_asr_options "${train_dir}" "$1"
    local/train.sh "${machines[@]}" --log "$2/train.log" -- espnet2.bin.asr_train "${asr_options[@]}" \
        "${how[@]}" --resume true --output_dir "$2" --train_shape_file "${train_shapes}/speech_shape" \
        --train_shape_file "${train_shapes}/text_shape.${token_type}" \
        --valid_shape_file "${asr_stats_dir}/valid/speech_shape" \
        --valid_shape_file "${asr_stats_dir}/valid/text_shape.${token_type}" "${@:3}" "${further_asr[@]}"
}

# The model that --from_dense describes gets experts, in exp/asr_TAG/from_dense, unless it has them already.
make_from_dense() {
    local dense=("${dense_model[@]}")
    [ ! -d "${asr_exp}/from_dense" ] || return 0
    if [ -n "${dense_config}" ]; then
        note_what_is_trained_on "${dense_exp}"
        train_asr "${dense_config}" "${dense_exp}"
        dense=(--asr_train_config "${dense_exp}/config.yaml" --asr_model_file "${dense_exp}/${inference_asr_model}")
    fi
    "${python}" -m espnet_blrmoe.bin.from_dense "${dense[@]}" --config "${asr_config}" \
        --languages "$(languages | paste -sd,)" --token_list "${token_list}" --output_dir "${asr_exp}/from_dense" \
        > "${asr_exp}/from_dense.log"
    tail -n 2 "${asr_exp}/from_dense.log"
}
