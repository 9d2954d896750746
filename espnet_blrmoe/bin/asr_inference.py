"""Decode with an allowed-language list: espnet2.bin.asr_inference for BLR-MoE models, all its options included.

Beside ESPnet's files, OUTPUT_DIR/1best_recog gets
  lang            utterance, detected language, its probability
  timeline        utterance, JSON list of [start seconds, end seconds, language]
  expert_frames   utterance, language:encoder frames of every language
`--batch_size` may exceed 1. Models of other classes are decoded by ESPnet's own program.
"""

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from espnet2.bin import asr_inference
from espnet2.fileio.datadir_writer import DatadirWriter
from espnet2.fileio.read_text import read_2columns_text
from espnet2.tasks.asr import ASRTask
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed

from espnet_blrmoe.bin.options import add_language_options, check_options, load_model
from espnet_blrmoe.checkpoint import read_config, read_weights
from espnet_blrmoe.config_files import ConfigFileParser
from espnet_blrmoe.inference import Transcript
from espnet_blrmoe.languages import parse_languages

# Options of ESPnet's program that are not options of its Speech2Text.
PROGRAM_OPTIONS = (
    "output_dir", "ngpu", "seed", "num_workers", "log_level", "data_path_and_name_and_type", "key_file",
    "allow_variable_data_keys", "batch_size", "word_lm_train_config", "word_lm_file", "config",
    "utt2langs",
)  # fmt: skip
# Options that ESPnet's program lacks, or does not hand on.
OWN_OPTIONS = ("config", "languages", "utt2langs", "language_penalty", "language_escape", "language_smoothing")


def get_parser():
    """ESPnet's parser with the language options."""
    parser = ConfigFileParser.of(asr_inference.get_parser())
    parser.description = __doc__
    group = add_language_options(parser)
    group.add_argument("--utt2langs", help="file with one line per utterance: its id, then its languages: utt1 en,de")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Decode; a mistake in the options or files ends in one sentence."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    check_options(parser, args, language_lists=("languages", "utt2langs"))
    try:
        if args.asr_train_config and read_config(args.asr_train_config).get("model") != "blr_moe":
            if args.languages or args.utt2langs or args.language_smoothing != "frame":
                raise ValueError(f"--languages needs a BLR-MoE model; {args.asr_train_config} is of another kind")
            for file in filter(None, (args.asr_model_file, args.lm_file)):
                read_weights(file)  # ESPnet's program would execute what else is in it
            options = {k: v for k, v in vars(args).items() if k not in OWN_OPTIONS}
            return asr_inference.inference(**options)
        decode(args)
    except ValueError as error:
        sys.exit(f"asr_inference: {error}")
    except (OSError, RuntimeError):
        unreadable = first_unreadable(args.data_path_and_name_and_type)
        if unreadable is None:
            raise
        sys.exit(f"asr_inference: {unreadable}")


def first_unreadable(data: Sequence[tuple[str, str, str]]) -> str | None:
    """A sentence that names the first audio file of the data (path, name, type) that cannot be read, if any."""
    for path, _, kind in data:
        for utterance, audio in read_2columns_text(path).items() if kind == "sound" else ():
            try:
                soundfile.info(audio)
            except (OSError, RuntimeError):
                return f"{path}: utterance {utterance}: {audio} is missing or cannot be read; remove the line"
    return None


def decode(args) -> None:
    """Decode all utterances with the parsed options.

    Raises:
        ValueError: a file is missing or does not fit, a language is unknown, or an utterance
            is empty or holds NaN.
    """
    logging.basicConfig(level=args.log_level, format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s")
    set_all_random_seed(args.seed)
    for path, _, _ in args.data_path_and_name_and_type:
        if not Path(path).is_file():
            raise ValueError(f"{path} does not exist; correct --data_path_and_name_and_type")
    options = {name: value for name, value in vars(args).items() if name not in PROGRAM_OPTIONS}
    options["device"] = "cuda" if args.ngpu else "cpu"
    speech2text = load_model(options)
    utt2langs = read_utt2langs(args.utt2langs, speech2text.languages) if args.utt2langs else None
    loader = ASRTask.build_streaming_iterator(
        args.data_path_and_name_and_type,
        dtype=args.dtype,
        batch_size=args.batch_size,
        key_file=args.key_file,
        num_workers=args.num_workers,
        preprocess_fn=ASRTask.build_preprocess_fn(speech2text.asr_train_args, False),
        collate_fn=without_padding,
        allow_variable_data_keys=args.allow_variable_data_keys,
        inference=True,
    )
    done = 0
    with DatadirWriter(args.output_dir) as writer:
        for utterances, speeches in loader:
            languages = None if utt2langs is None else [_allowed(utt2langs, u, args.utt2langs) for u in utterances]
            try:
                transcripts = speech2text.batch(speeches, languages)
            except ValueError as error:
                raise ValueError(f"{error}; it is among {', '.join(utterances)}") from error
            for utterance, transcript in zip(utterances, transcripts):
                write(writer, utterance, transcript)
            done += len(utterances)
            logging.info(f"{done} utterances decoded")


def without_padding(samples: list[tuple[str, dict]]) -> tuple[list[str], list[np.ndarray]]:
    """Ids and waveforms of a batch, as Speech2Text takes them; so mono and stereo files may share a batch."""
    return [utterance for utterance, _ in samples], [data["speech"] for _, data in samples]


def read_utt2langs(path: str, known: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Allowed languages of every utterance.

    Raises:
        ValueError: the file is missing, lists an utterance twice or a language that is not among `known`.
    """
    try:
        return {utterance: parse_languages(codes, known) for utterance, codes in read_2columns_text(path).items()}
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"--utt2langs {path}: {error}") from error


def _allowed(utt2langs: dict[str, tuple[str, ...]], utterance: str, path: str) -> tuple[str, ...]:
    if utterance not in utt2langs:
        raise ValueError(f"{path} has no line for utterance {utterance}; add it, for example '{utterance} en,de'")
    return utt2langs[utterance]


def write(writer: DatadirWriter, utterance: str, transcript: Transcript) -> None:
    """Write one utterance's results in ESPnet's layout."""
    for n, (text, tokens, token_ids, hypothesis) in enumerate(transcript.hypotheses, start=1):
        nbest = writer[f"{n}best_recog"]
        nbest["token"][utterance] = " ".join(tokens)
        nbest["token_int"][utterance] = " ".join(map(str, token_ids))
        nbest["score"][utterance] = str(float(hypothesis.score))
        nbest["text"][utterance] = text or ""
    best = writer["1best_recog"]
    best["lang"][utterance] = f"{transcript.language} {transcript.language_probability:.4f}"
    best["timeline"][utterance] = json.dumps([[s.start, s.end, s.language] for s in transcript.timeline])
    best["expert_frames"][utterance] = " ".join(f"{language}:{n}" for language, n in transcript.frames.items())


if __name__ == "__main__":
    main()
