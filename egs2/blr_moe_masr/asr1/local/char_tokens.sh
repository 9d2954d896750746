#!/usr/bin/env bash
# Makes ESPnet's list of tokens from the characters of transcripts; it appears whole, or not at all:
#   local/char_tokens.sh dump/raw/train/text data/token_list/char/tokens.txt
set -e -u -o pipefail

text=$1 token_list=$2
. local/shared/messages.sh

log=$(dirname "${token_list}")/tokenize_text.log
"${python:-python3}" -m espnet2.bin.tokenize_text --token_type char --field 2- --write_vocabulary true \
    --input "${text}" --output "${token_list}.unfinished" \
    --add_symbol "<blank>:0" --add_symbol "<unk>:1" --add_symbol "<sos/eos>:-1" 2> "${log}" \
    || { last_error "${log}"; exit 1; }
# The program does not notice a full disk.
[ "$(tail -n 1 "${token_list}.unfinished")" = "<sos/eos>" ] \
    || die "${token_list} cannot be written: no room?; it is left as it was"
mv "${token_list}.unfinished" "${token_list}"
