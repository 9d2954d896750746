#!/usr/bin/env bash
# Stage 1: makes data/{train,valid,test_*,router_train,router_valid} from a corpus.
set -e -u -o pipefail

help_message="Usage: local/data.sh --corpus espeak|commonvoice [--langs \"de en\"] [--datadir data] [--downloads DIR]
    [--nj N] [--train_hours H] [--test_sentences N]"
corpus=espeak
langs=
datadir=data
downloads=downloads
nj=2
train_hours=
test_sentences=
. local/parse_options.sh
. ./db.sh

started=$(mktemp)
trap 'rm -f "${started}"' EXIT
case "${corpus}" in
    espeak)
        python3 local/espeak_corpus.py --langs ${langs} --nj "${nj}" --audio_dir "${downloads}/espeak" \
            --data_dir "${datadir}" ${train_hours:+--train_hours "${train_hours}"} \
            ${test_sentences:+--test_sentences "${test_sentences}"}
        ;;
    commonvoice)
        python3 local/commonvoice_corpus.py --commonvoice "${COMMONVOICE}" ${langs:+--langs ${langs}} \
            ${OUT_OF_DOMAIN:+--out_of_domain "${OUT_OF_DOMAIN}"} --data_dir "${datadir}"
        ;;
    *)
        echo "--corpus ${corpus}: unknown; choose espeak or commonvoice" >&2
        exit 1
        ;;
esac
# A set that another corpus left here is none of this one's.
for dset in test_in test_out router_train router_valid; do
    [ "${datadir}/${dset}" -nt "${started}" ] || rm -rf "${datadir:?}/${dset}"
done
