# Sets the variable X of the calling script for every --X VALUE on its command line, as Kaldi's
# utils/parse_options.sh does. `help_message` is printed for --help.
while [ $# -gt 0 ]; do
    case "$1" in
        --help | -h)
            echo "${help_message}"
            exit 0
            ;;
        --*)
            name=${1#--}
            name=${name//-/_}
            if ! [[ "${name}" =~ ^[a-z_]+$ ]] || ! declare -p "${name}" > /dev/null 2>&1; then
                echo "$0: unknown option $1; ./run.sh --help lists the options" >&2
                exit 1
            fi
            if [ $# -lt 2 ]; then
                echo "$0: option $1 needs a value" >&2
                exit 1
            fi
            printf -v "${name}" '%s' "$2"
            shift 2
            ;;
        *)
            echo "$0: unexpected argument $1; ./run.sh --help lists the options" >&2
            exit 1
            ;;
    esac
done
