# Where corpora are on your machine; fill in what you use. docs/corpora.md has their layouts.

COMMONVOICE=${COMMONVOICE:-}    # any release: has <lang>/{train,dev,test}.tsv and <lang>/clips/
FLEURS=${FLEURS:-}              # has <lang>_<region>/ or data/<lang>_<region>/
MLS=${MLS:-}                    # Multilingual LibriSpeech: has mls_<language>/ or mls_<language>_opus/
LIBRISPEECH=${LIBRISPEECH:-}    # has LibriSpeech/
AISHELL=${AISHELL:-}            # AISHELL-1: has data_aishell/
VOXPOPULI=${VOXPOPULI:-}        # has transcribed_data/
MANIFEST=${MANIFEST:-}          # your own: has {train,valid,test}.jsonl, or .tsv
