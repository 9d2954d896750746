"""Stage 5: how a list of tokens fits the transcripts of each language, as a table.

    python local/token_table.py --bpemodel data/token_list/bpe500/bpe.model \\
        --token_list data/token_list/bpe500/tokens.txt dump/raw/train dump/raw/valid dump/raw/test_in

prints it and writes tokens_by_language.tsv next to the list. Columns:
    vocabulary      different tokens that the language's transcripts use
    per character   tokens per character
    per second      tokens per second of speech
    bytes %         tokens that are bytes of characters without a token of their own
    unknown %       tokens that are <unk>: the model can neither learn nor write them
    too dense       utterances whose tokens do not fit into the encoder's frames, so that CTC learns nothing from them
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import eq
from pathlib import Path

from espnet2.text.char_tokenizer import CharTokenizer
from espnet2.text.sentencepiece_tokenizer import SentencepiecesTokenizer
from shared.kaldi_tables import UserError
from shared.transcripts import side_by_side
from shared.write_files import write_files

from espnet_blrmoe.languages import main_language
from espnet_blrmoe.program import start
from espnet_blrmoe.tables import text_table

HEAD = ("set", "language", "sentences", "characters", "vocabulary", "per character", "per second", "bytes %",
        "unknown %", "too dense")
BYTES = {f"<0x{byte:02X}>" for byte in range(256)}


@dataclass
class Use:
    """How the transcripts of a language use the tokens; the figures are sums over utterances."""

    sentences: int = 0
    characters: int = 0
    seconds: float = 0.0
    tokens: int = 0
    byte_tokens: int = 0
    unknown: int = 0
    too_dense: int = 0
    vocabulary: set[str] = field(default_factory=set)

    def add(self, text: str, tokens: list[str], seconds: float, known: set[str], frame: float) -> None:
        """Count an utterance.

        Args:
            text, tokens: the transcript.
            seconds: how long it takes to say it.
            known: all tokens of the model.
            frame: seconds between the encoder's frames.
        """
        self.sentences += 1
        self.characters += len(text)
        self.seconds += seconds
        self.tokens += len(tokens)
        self.byte_tokens += sum(map(BYTES.__contains__, tokens))
        self.unknown += len(tokens) - sum(map(known.__contains__, tokens))
        blanks = sum(map(eq, tokens, tokens[1:]))  # CTC needs one between two equal tokens
        self.too_dense += len(tokens) + blanks > seconds / frame
        self.vocabulary.update(known.intersection(tokens))

    def cells(self) -> list[str]:
        """The values of HEAD from `sentences` on."""
        tokens, characters = max(self.tokens, 1), max(self.characters, 1)
        return [
            str(self.sentences), str(self.characters), str(len(self.vocabulary)), f"{self.tokens / characters:.2f}",
            f"{self.tokens / max(self.seconds, 1e-9):.1f}", f"{100 * self.byte_tokens / tokens:.2f}",
            f"{100 * self.unknown / tokens:.2f}", str(self.too_dense),
        ]


def uses(folder: Path, tokenize: Callable[[str], list[str]], known: set[str], fs: int, frame: float) -> dict[str, Use]:
    """The use of tokens in a data directory, by language.

    Raises:
        UserError: a table is missing, does not fit the others, or holds anything but a number of samples.
    """
    found: dict[str, Use] = {}
    tables = [folder / name for name in ("utt2lang", "text", "utt2num_samples")]
    for utterance, language, text, samples in side_by_side(*tables):
        if not samples.isdecimal():
            raise UserError(f"{tables[-1]}: utterance {utterance} has {samples!r} for its number of samples")
        found.setdefault(main_language(language), Use()).add(text, tokenize(text), int(samples) / fs, known, frame)
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpemodel", type=Path, help="sentencepiece's model (default: characters)")
    parser.add_argument("--token_list", type=Path, required=True, help="one token per line")
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate in Hz (default 16000)")
    parser.add_argument("--frame_ms", type=float, default=40, help="between the encoder's frames (default 40)")
    parser.add_argument("data_dirs", type=Path, nargs="+", help="utt2lang, text and utt2num_samples")
    args = parser.parse_args(argv)

    if not args.token_list.is_file():
        raise UserError(f"{args.token_list} does not exist: the first part of stage 5 makes it")
    known = set(args.token_list.read_text(encoding="utf-8").split("\n")) - {"", "<unk>"}
    tokenize = (SentencepiecesTokenizer(args.bpemodel) if args.bpemodel else CharTokenizer()).text2tokens
    rows, too_dense = [], 0
    for folder in args.data_dirs:
        for language, use in sorted(uses(folder, tokenize, known, args.fs, args.frame_ms / 1000).items()):
            rows.append([folder.name, language, *use.cells()])
            too_dense += use.too_dense
    table = "".join("\t".join(row) + "\n" for row in (HEAD, *rows))
    write_files({args.token_list.with_name("tokens_by_language.tsv"): table})
    print(text_table(HEAD, rows, names=2))
    if too_dense:
        print(f"{too_dense} utterances have more tokens than the encoder has frames of {args.frame_ms:g} ms: CTC "
              "learns nothing from them. Do the transcripts fit the audio? If so, larger pieces make fewer tokens")


if __name__ == "__main__":
    start(main)
