# Where corpora are on your machine; fill in what you use.

# A folder in Common Voice's own layout: <lang>/{train,dev,test}.tsv and <lang>/clips/*.mp3
COMMONVOICE=${COMMONVOICE:-}
# Optional: an out-of-domain test corpus, <lang>/test.tsv (columns path, sentence, speaker) and <lang>/clips/
OUT_OF_DOMAIN=${OUT_OF_DOMAIN:-}
