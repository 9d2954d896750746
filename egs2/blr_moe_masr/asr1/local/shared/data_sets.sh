# The data sets of run.sh, and the options of programs that read them.

test_sets() { (cd "${datadir}" && ls -d test_*) 2> /dev/null | grep -v '\.unfinished$'; }  # of a run that was killed
# Audio-language pairs that have no transcripts; a corpus need not have any.
router_sets() { (cd "${datadir}" && ls -d router_train router_valid) 2> /dev/null || true; }

# find_folders SET...: sets `folders` to the formatted ones of these sets and of all test sets.
find_folders() {
    local sets
    mapfile -t sets < <(test_sets)
    [ ${#sets[@]} -gt 0 ] || need "${datadir}/test_*" data
    folders=()
    for dset in "$@" "${sets[@]}"; do
        need "${dumpdir}/raw/${dset}/wav.scp" format
        folders+=("${dumpdir}/raw/${dset}")
    done
}

# Complete tables, and no language that the training set lacks.
check_data() {
    find_folders valid $(router_sets)
    "${python}" local/check_languages.py --train "${dumpdir}/raw/${train_set}" "${folders[@]}"
}

# The languages of the training set; an utterance may have several, and their times (docs/corpora.md).
languages() { cut -d' ' -f2- "${dumpdir}/raw/${train_set}/utt2lang" | tr ' ' '\n' | cut -d: -f1 | sort -u; }

# has_router NAME: whether there are several languages; otherwise says that the stage is left out.
has_router() {
    need "${asr_model_file}" training
    need "${dumpdir}/raw/${train_set}/utt2lang" length
    [ "$(languages | wc -l)" -gt 1 ] || { echo "one language needs no router: stage '$1' is left out"; return 1; }
}

# yaml_string TEXT: the text in quotes, whatever it holds; options such as --normalize_conf are YAML.
yaml_string() { sed "s/'/''/g; s/.*/'&'/" <<< "$1"; }

# data_options TRAIN_DIR VALID_DIR TABLE,NAME,TYPE...: tables that a training reads, an option's word a line.
data_options() {
    local what
    for what in "${@:3}"; do
        printf '%s\n' --train_data_path_and_name_and_type "$1/${what}" --valid_data_path_and_name_and_type "$2/${what}"
    done
}

# language_options TRAIN_DIR: what a model with experts gets beside the options of any ASR model: the language of every
# utterance, those of the training set, in this order its experts, in quotes, since YAML takes Norwegian's `no` for false,
# and for augmentation the sampling rate.
language_options() {
    data_options "$1" "${dumpdir}/raw/valid" utt2lang,lid,text
    printf '%s\n' --allow_variable_data_keys true \
        --encoder_conf "languages=[$(languages | sed "s/.*/'&'/" | paste -sd,)]" --preprocessor_conf "fs=${fs}"
}
