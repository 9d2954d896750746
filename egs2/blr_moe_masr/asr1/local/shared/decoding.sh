# Decodings of all test sets, in stages 12 and 17.

# decode_test_sets ENDING OPTION...: whole utterances into decode_...ENDING; with --streaming, as streams of chunks of
# each size, into decode_..._160msENDING and so on. The options are those of local/decode.sh that name the model.
decode_test_sets() {
    local sizes=('') size how=(--inference_config "${inference_config}" --nj "${inference_nj}" --ngpu "$((ngpu > 0))"
        --inference_args "${inference_args}" "${@:2}")
    [ "${streaming}" = false ] || read -ra sizes <<< "${chunk_ms}"
    find_folders
    for size in "${sizes[@]}"; do
        local/decode.sh "${how[@]}" --chunk_ms "${size}" \
            --output_dir "${asr_exp}/${inference_tag}${size:+_${size}ms}$1" -- "${folders[@]}"
    done
}
