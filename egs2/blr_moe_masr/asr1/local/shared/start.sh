# From the options of run.sh to its first stage: sets the options, goes to the recipe's folder, prepares the functions.

# Corpora that the environment names may lie relative to where run.sh was started.
for name in $(basename -s .py -a "$(dirname "$0")"/local/corpora/[a-z]* | tr '[:lower:]' '[:upper:]'); do
    [ -z "${!name:-}" ] || export "${name}=$(realpath -m "${!name}")"
done
cd "$(dirname "$0")"
more_help() {
    printf '\nStages:\n'
    printf '  %s\n' "${STAGES[@]}"
    printf '\nCorpora: %s, or mypackage.mycorpus\n' "$(basename -s .py -a local/corpora/[a-z]* | xargs)"
}
. local/shared/parse_options.sh
stop_stage=${stop_stage:-${STAGES[-1]:0:2}}  # the last number
export python
. ./path.sh
. ./cmd.sh
for part in messages options stages data_sets training decoding asr_stock; do . "local/shared/${part}.sh"; done
trap 'trap "" TERM; kill 0; exit 130' INT  # background jobs of a script ignore Ctrl-C, and would go on decoding
