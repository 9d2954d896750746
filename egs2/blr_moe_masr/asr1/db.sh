# Where corpora are on your machine: a line NAME=FOLDER for each that you use, its name in capital letters, for example
#   COMMONVOICE=/data/cv-corpus-17.0
# ./run.sh --help lists the names, docs/corpora.md has the layouts. What is not set here may come from the environment.
