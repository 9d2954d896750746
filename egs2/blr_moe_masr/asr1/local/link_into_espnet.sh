#!/usr/bin/env bash
# Puts this recipe into an ESPnet checkout, as ESPNET_ROOT/egs2/blr_moe_masr/asr1:
#   local/link_into_espnet.sh ESPNET_ROOT
# run.sh, local/ and the configurations become links to this clone, so both places run the same; asr.sh, path.sh, utils/
# and their like become links to ESPnet's TEMPLATE, as its setup.sh makes them. cmd.sh, db.sh and the schedulers'
# settings (conf/*.conf) are copied once, for you to edit. Run it again when the clone has moved or has new files.
set -e -u -o pipefail

die() { echo "$0: $*" >&2; exit 1; }
[[ ! "${1:-}" =~ ^(--help|-h)$ ]] || { sed -n '2,/^set/s/^# //p' "$0"; exit 0; }
[ $# -eq 1 ] && [[ "$1" != -* ]] || die "usage: local/link_into_espnet.sh ESPNET_ROOT"
[ -d "$1" ] || die "$1 does not exist; give the folder of an ESPnet checkout"
clone=$(cd -P "$(dirname "$0")/.." && pwd)  # the recipe's folder, also through the link local/ at the top
espnet=$(cd "$1" && pwd)
template=${espnet}/egs2/TEMPLATE/asr1
recipe=${espnet}/egs2/blr_moe_masr/asr1
[ -e "${template}/asr.sh" ] || die "${espnet} is not an ESPnet checkout: it has no egs2/TEMPLATE/asr1/asr.sh"
[ -e "${template}/utils/run.pl" ] \
    || die "${template}/utils leads nowhere: Kaldi's scripts are missing;" \
        "clone https://github.com/kaldi-asr/kaldi to ${espnet}/tools/kaldi"
[ ! -e "${recipe}" ] || [ -L "${recipe}/run.sh" ] \
    || die "${recipe} exists and is not from this command (its run.sh is not a link): move it away"

mkdir -p "${recipe}/conf"
ln -sfn "${clone}/run.sh" "${recipe}/run.sh"  # first: what an interruption leaves is known as ours
for name in asr.sh path.sh scripts pyscripts steps utils; do
    ln -sfn "../../TEMPLATE/asr1/${name}" "${recipe}/${name}"
done
ln -sfn "${clone}/local" "${recipe}/local"
for config in "${clone}"/conf/*; do
    ln -sfn "${config}" "${recipe}/conf/$(basename "${config}")"
done
copy_once() { [ -e "$2/$(basename "$1")" ] || cp "$1" "$2"; }
for file in "${clone}/cmd.sh" "${clone}/db.sh"; do copy_once "${file}" "${recipe}"; done
for file in "${template}"/conf/{slurm,queue,pbs}.conf; do copy_once "${file}" "${recipe}/conf"; done
echo "${recipe} is ready. The Python of this ESPnet needs the plugin: pip install ${clone%/egs2/*}"
echo "Then: cd ${recipe} && ./run.sh"
