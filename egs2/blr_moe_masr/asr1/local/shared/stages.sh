# The stages of run.sh, as its table STAGES has them: "number name what it makes".

log() { echo "$(date '+%H:%M:%S') (run.sh) $*"; }

# stage_line NAME: the line of a stage, with the folders that were given in place of the default ones.
stage_line() {
    for line in "${STAGES[@]}"; do
        read -r number name what <<< "${line}"
        [ "${name}" = "$1" ] || continue
        case "${what}" in
            data/*) what=${datadir}/${what#data/} ;;
            dump/*) what=${dumpdir}/${what#dump/} ;;
            exp/*) what=${expdir}/${what#exp/} ;;
        esac
        return 0
    done
    die "run.sh has no stage '$1' in its table"
}

# begin NAME: whether the stage is one of those to do; if so, says that it begins.
begin() {
    local number name what
    stage_line "$1"
    [ "${stage}" -le "${number}" ] && [ "${number}" -le "${stop_stage}" ] || return 1
    finish
    log "stage ${number}: ${name} (${what})"
    current="${number}	${name}: ${what}" started=${SECONDS}
}

# finish: notes the time of the stage that was done, for the report.
current= started=0
finish() {
    [ -n "${current}" ] || return 0
    mkdir -p "${asr_exp}"
    printf '%s\t%d\n' "${current}" "$((SECONDS - started))" >> "${asr_exp}/stage_times.tsv"
    current=
}

# need FILE NAME: ends run.sh if a file is missing that the stage NAME makes.
need() {
    local number name what
    [ ! -e "$1" ] || return 0
    stage_line "$2"
    die "$1 does not exist: run stage ${number} first (./run.sh --stage ${number} ...)"
}
