"""Train one sentencepiece BPE model over the transcripts of all languages.

Example:
    python local/train_sentencepiece.py --vocab_size 500 dump/raw/train/text data/token_list/bpe500
"""

import argparse
from pathlib import Path

import sentencepiece
from data_dir import UserError, read_table


def main(argv: list[str] | None = None) -> None:
    """Write bpe.model and bpe.vocab into the output folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab_size", type=int, default=500, help="number of pieces")
    parser.add_argument("text", type=Path, help="Kaldi table of transcripts")
    parser.add_argument("output_dir", type=Path)
    args = parser.parse_args(argv)
    sentences = list(read_table(args.text).values())
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_prefix=str(args.output_dir / "bpe"),
            model_type="bpe",
            vocab_size=args.vocab_size,
            character_coverage=1.0,  # every character of every script has a piece
            minloglevel=2,
        )
    except RuntimeError as error:
        message = f"sentencepiece cannot make {args.vocab_size} pieces (--nbpe) of {args.text}: {error}"
        raise UserError(message) from error


if __name__ == "__main__":
    main()
