#!/usr/bin/env bash
# Stage 1: makes the data directories data/* from one or several corpora.
set -e -u -o pipefail

help_message="Usage: local/data.sh --corpus espeak|\"NAME[:DOMAIN][=PATH] ...\" [--out_of_domain \"NAME...\"] [--langs \"de en\"]
    [--digits kept|spelled] [--min_wav_duration S] [--max_wav_duration S] [--datadir data] [--downloads DIR]
    [--nj N] [--train_hours H] [--test_sentences N]"
corpus=espeak
out_of_domain=
digits=kept
min_wav_duration=0.1
max_wav_duration=20
langs=
datadir=data
downloads=downloads
nj=2
train_hours=
test_sentences=
. local/parse_options.sh
set -a  # prepare_corpora.py finds the corpora's folders in the environment
. ./db.sh
set +a

if [ "${corpus}" = espeak ]; then
    python3 local/espeak_corpus.py --langs ${langs} --nj "${nj}" --audio_dir "${downloads}/espeak" \
        --data_dir "${datadir}" ${train_hours:+--train_hours "${train_hours}"} \
        ${test_sentences:+--test_sentences "${test_sentences}"}
else
    python3 local/prepare_corpora.py --corpus ${corpus} ${out_of_domain:+--out_of_domain ${out_of_domain}} \
        ${langs:+--langs ${langs}} --digits "${digits}" --min_wav_duration "${min_wav_duration}" \
        --max_wav_duration "${max_wav_duration}" --data_dir "${datadir}"
fi
