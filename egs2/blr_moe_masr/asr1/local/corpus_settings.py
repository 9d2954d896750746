"""What run.sh has to know of the corpora that it trains with.

    python local/corpus_settings.py --corpus "mls commonvoice" --out_of_domain fleurs

prints the configuration to train with unless another is named, that of the first corpus, and in a second line the part
that the corpora have in the names of folders: conf/train_asr_commonvoice.yaml, _mls_commonvoice.
"""

import argparse

from shared.find_corpora import load, split_word
from shared.kaldi_tables import UserError
from shared.path_lists import split_paths

from espnet_blrmoe.program import start

ASR_CONFIG = "conf/train_asr_commonvoice.yaml"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, help='corpora to train with: "NAME[:DOMAIN][=PATH] ..."')
    parser.add_argument("--out_of_domain", default="", help="corpora to test with as well")
    args = parser.parse_args(argv)
    names, others = ([split_word(word)[0] for word in split_paths(text)] for text in (args.corpus, args.out_of_domain))
    if not names:
        raise UserError("--corpus is empty; docs/corpora.md lists the corpora")
    modules = [load(name) for name in (*names, *others)][: len(names)]
    tag = "".join(getattr(module, "TAG", f"_{name.rpartition('.')[2]}") for name, module in zip(names, modules))
    print(getattr(modules[0], "ASR_CONFIG", ASR_CONFIG), tag, sep="\n")


if __name__ == "__main__":
    start(main)
