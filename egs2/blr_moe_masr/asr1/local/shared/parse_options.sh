# Sets the variable X of the calling script for every --X VALUE on its command line, as Kaldi's utils/parse_options.sh
# does, and leaves what follows `--` in "$@". The options are the lines `name=default  # comment` of the script. --help
# prints the comment at its top, what its function `more_help` prints (if there is one), and those lines.
script=$0
[ -f "${script}" ] || script=$(basename "$0")  # the script has changed to its own folder

print_options() {
    awk '
        function show() { if (text) printf "  --%-23s%s%s\n", name, text, value == "" ? "" : " (default " value ")" }
        /parse_options\.sh$/ { exit }
        /^[a-z_]+=/ {
            show(); name = value = text = $0
            sub(/=.*/, "", name); sub(/^[a-z_]+=/, "", value); sub(/ *# .*/, "", value); sub(/^[^#]*# /, "", text)
            next
        }
        /^ +# / && text { sub(/^ +# /, ""); text = text sprintf("\n%27s", "") $0 }
        END { show() }' "${script}"
}
print_help() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${script}"
    ! declare -F more_help > /dev/null || more_help
    printf '\nOptions:\n'
    print_options
}
options=" $(sed -nE '/parse_options\.sh$/q; s/^([a-z_]+)=.*/\1/p' "${script}" | paste -sd' ') "

# words TEXT: the words of an option that holds several, a line each; quotes and backslashes are a shell's.
words() { [ -z "$1" ] || xargs -r printf '%s\n' <<< "$1"; }

while [ $# -gt 0 ]; do
    case "$1" in
        --help | -h) print_help; exit 0 ;;
        --) shift; break ;;
        --prune)
            echo "--prune is now called --allowed_languages" >&2
            set -- --allowed_languages "${@:2}"
            ;;
        --*)
            name=${1#--}
            name=${name//-/_}
            if [[ "${options}" != *" ${name} "* ]]; then
                echo "$0: unknown option $1; $0 --help lists the options" >&2
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
            echo "$0: unexpected argument $1; $0 --help lists the options" >&2
            exit 1
            ;;
    esac
done
