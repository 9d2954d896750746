"""Stage 5: train a sentencepiece model that knows the languages of a training set equally well.

    python local/train_sentencepiece.py --nbpe 2000 dump/raw/train data/token_list/bpe2000

writes bpe.model, bpe.vocab and tokens.txt, ESPnet's list of tokens. Characters without a piece of their own become
their UTF-8 bytes, which are tokens too, so that no text has an unknown one. Text is read as a stream, and what is
learned from is a sample of bounded size.
"""

import argparse
import io
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from shared.kaldi_tables import UserError
from shared.transcripts import Transcript, read_transcripts
from shared.write_files import write_files

from espnet_blrmoe.program import start

BYTES = 256
CONTROL = 3  # sentencepiece's own <unk>, <s> and </s>
PIECE = ModelProto.SentencePiece


@dataclass
class Amount:
    """How much text a language has.

    Attributes:
        sentences: number of transcripts.
        characters: their length, all together.
        alphabet: the characters that occur.
    """

    sentences: int
    characters: int
    alphabet: set[str]


def amounts(transcripts: Iterable[Transcript]) -> dict[str, Amount]:
    """The amount of text by language."""
    found: dict[str, Amount] = {}
    for language, text in transcripts:
        amount = found.setdefault(language, Amount(0, 0, set()))
        amount.sentences += 1
        amount.characters += len(text)
        amount.alphabet.update(text)
    return found


def balanced(amounts: dict[str, Amount], temperature: float, sentences: int) -> dict[str, int]:
    """How many sentences of each language to take, so that its share of all characters is p ~ n^(1/temperature).

    Args:
        amounts: n are their characters.
        temperature: 1 takes languages as the corpus has them, infinity takes as much of each.
        sentences: of all languages together.
    """
    largest = max(amount.characters for amount in amounts.values())
    weights = {
        language: (amount.characters / largest) ** (1 / temperature) * amount.sentences / amount.characters
        for language, amount in amounts.items()
    }
    return {language: max(1, round(sentences * w / sum(weights.values()))) for language, w in weights.items()}


def draw(
    transcripts: Iterable[Transcript], amounts: dict[str, Amount], wanted: dict[str, int], seed: int
) -> Iterator[str]:
    """Draw `wanted` sentences of each of those languages in one pass; all of a language's equally often, within one.

    Args:
        transcripts: all of them.
        amounts: of their languages.
        wanted: sentences by language; none of other languages is drawn.
        seed: the same draws the same.
    """
    generator = random.Random(seed)
    left = {language: amount.sentences for language, amount in amounts.items()}
    extra = {language: number % left[language] for language, number in wanted.items()}
    for language, text in transcripts:
        if language not in wanted:
            continue
        times = wanted[language] // amounts[language].sentences
        if generator.random() * left[language] < extra[language]:  # exactly `extra` of them, each equally probable
            times += 1
            extra[language] -= 1
        left[language] -= 1
        yield from repeat(text, times)


def learn(sentences: Iterable[str], mode: str, pieces: int, coverage: float) -> ModelProto:
    """Train a sentencepiece model with `pieces` pieces, or fewer where the text has fewer, and the bytes."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type=mode,
        vocab_size=pieces + BYTES + CONTROL,
        hard_vocab_limit=False,
        byte_fallback=True,
        character_coverage=coverage,
        normalization_rule_name="identity",  # transcripts were normalised when the data were prepared
        minloglevel=2,
    )
    return ModelProto.FromString(model.getvalue())


def learn_from(args: argparse.Namespace, found: dict[str, Amount], wanted: dict[str, int]) -> ModelProto:
    """Train a model on `wanted` sentences of some languages; `found` says how much of each there is.

    Raises:
        UserError: sentencepiece cannot.
    """
    sample = draw(read_transcripts(args.data_dir), found, wanted, args.seed)
    characters = {" "}.union(*(found[language].alphabet for language in wanted))
    try:
        return learn(sample, args.bpemode, max(args.nbpe, len(characters)), args.bpe_char_cover)
    except RuntimeError as error:
        source = f"{args.data_dir / 'text'} ({', '.join(wanted)})"
        raise UserError(f"sentencepiece cannot make {args.nbpe} pieces (--nbpe) of {source}: {error}") from error


def union(models: list[ModelProto]) -> ModelProto:
    """One model with the pieces of all; a piece that several have is as probable as in the one that gives it most."""
    scores: dict[str, float] = {}
    for piece in (piece for model in models for piece in model.pieces if piece.type == PIECE.NORMAL):
        scores[piece.piece] = max(piece.score, scores.get(piece.piece, piece.score))
    merged = ModelProto()
    merged.CopyFrom(models[0])
    special = [piece for piece in merged.pieces if piece.type != PIECE.NORMAL]
    best_first = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    del merged.pieces[:]
    merged.pieces.extend([*special, *(PIECE(piece=piece, score=score) for piece, score in best_first)])
    merged.trainer_spec.vocab_size = len(merged.pieces)
    return merged


def token_list(model: ModelProto) -> list[str]:
    """ESPnet's tokens: sentencepiece's pieces, with its own special ones replaced by ESPnet's."""
    pieces = [piece.piece for piece in model.pieces if piece.type not in (PIECE.UNKNOWN, PIECE.CONTROL)]
    return ["<blank>", "<unk>", *pieces, "<sos/eos>"]


def write(model: ModelProto, folder: Path) -> None:
    """Write bpe.model, bpe.vocab and, last of all, tokens.txt; they appear together, or not at all.

    Raises:
        UserError: there is no room or no permission.
    """
    vocab = "".join(f"{piece.piece}\t{piece.score:g}\n" for piece in model.pieces)
    tokens = "".join(f"{token}\n" for token in token_list(model))
    contents = {"bpe.model": model.SerializeToString(), "bpe.vocab": vocab, "tokens.txt": tokens}
    write_files({folder / name: content for name, content in contents.items()})


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nbpe", type=int, default=500,
                        help="pieces, but at least one for each character; the 256 bytes come on top (default 500)")
    parser.add_argument("--bpemode", choices=("bpe", "unigram", "char"), default="bpe", help="kind of pieces")
    parser.add_argument("--bpe_temperature", type=float, default=5.0,
                        help="languages are learned from in proportion to characters^(1/T): 1 as the corpus has them, "
                        "inf equally (default 5)")
    parser.add_argument("--bpe_per_language", action="store_true",
                        help="a model of --nbpe pieces for each language; the union of their pieces is the vocabulary")
    parser.add_argument("--bpe_char_cover", type=float, default=0.9995,
                        help="share of the text whose characters get pieces; the rarest become bytes, which are thus "
                        "learned (default 0.9995)")
    parser.add_argument("--bpe_input_sentence_size", type=int, default=200_000,
                        help="learn from this many sentences at most (default 200,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument("data_dir", type=Path, help="utt2lang and text of the training set")
    parser.add_argument("output_dir", type=Path)
    args = parser.parse_args(argv)
    if not 0.98 <= args.bpe_char_cover <= 1:  # sentencepiece's own limits
        raise UserError(f"--bpe_char_cover must lie between 0.98 and 1, not {args.bpe_char_cover}")
    if not args.bpe_temperature >= 1:
        raise UserError(f"--bpe_temperature must be 1 or more (inf: all languages equally), not {args.bpe_temperature}")
    found = {code: amount for code, amount in amounts(read_transcripts(args.data_dir)).items() if amount.alphabet}
    if not found:
        raise UserError(f"{args.data_dir / 'text'} has no transcript to learn pieces from")
    limit = args.bpe_input_sentence_size
    if args.bpe_per_language:
        model = union([learn_from(args, found, {code: min(limit, found[code].sentences)}) for code in sorted(found)])
    else:
        sentences = min(limit, sum(amount.sentences for amount in found.values()))
        model = learn_from(args, found, balanced(found, args.bpe_temperature, sentences))
    write(model, args.output_dir)


if __name__ == "__main__":
    start(main)
