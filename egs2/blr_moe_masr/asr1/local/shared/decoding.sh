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

# decode_with_ngram ENDING OPTION...: the same with the word n-grams of stage 7 into decode_...ENDING_ngram, if they are
# wanted. What --inference_args say of them counts more.
decode_with_ngram() {
    [ "${use_ngram}" = true ] || return 0
    need "${ngram_exp}/perplexity.tsv" perplexity
    local inference_args="--ngram '${ngram_exp//\'/\'\\\'\'}' ${inference_args}"
    decode_test_sets "$1_ngram" "${@:2}"
}
