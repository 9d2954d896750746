"""Decode with an allowed-language list: espnet2.bin.asr_inference for BLR-MoE models, all its options included.

    python -m espnet_blrmoe.bin.asr_inference --config conf/decode_asr.yaml --model exp/router --languages en,de \\
        --data_path_and_name_and_type dump/raw/test_in/wav.scp,speech,sound --output_dir exp/asr/decode/test_in

Beside ESPnet's files, OUTPUT_DIR/1best_recog gets
  lang            utterance, detected language, its probability; "zxx 0.0000" where nobody speaks
  timeline        utterance, JSON list of [start seconds, end seconds, language]
  expert_frames   utterance, language:encoder frames of every language
`--batch_size` may exceed 1. Utterances of more than 30 s are cut, others only at pauses of half a second, or at shorter
ones where the CTC is more certain of the parts. With Kaldi's `segments` beside wav.scp, utterances are its stretches of
the recordings.
Models of other classes are decoded by ESPnet's own program.
"""

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import torch
from espnet2.bin import asr_inference
from espnet2.fileio.datadir_writer import DatadirWriter
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed

from espnet_blrmoe import audio
from espnet_blrmoe.bin.options import (
    add_hotword_options,
    add_language_options,
    add_ngram_options,
    check_options,
    load_model,
)
from espnet_blrmoe.espnet_internals import DATA_READERS, inference_parser
from espnet_blrmoe.files.model_files import ModelFiles, add_model_options
from espnet_blrmoe.files.output_folder import check_writable
from espnet_blrmoe.files.trained_model import read_config
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.inference.checks import check_tokens_and_ngram
from espnet_blrmoe.inference.speech2text import Speech2Text
from espnet_blrmoe.inference.transcript import LanguageSpan, Transcript
from espnet_blrmoe.languages import AllowedLanguages
from espnet_blrmoe.program import start
from espnet_blrmoe.segments import read_audio_table
from espnet_blrmoe.tables import read_table
from espnet_blrmoe.training.config_files import ConfigFileParser

# Options of ESPnet's program that are not options of its Speech2Text.
PROGRAM_OPTIONS = (
    "output_dir", "ngpu", "seed", "num_workers", "log_level", "data_path_and_name_and_type", "key_file",
    "allow_variable_data_keys", "batch_size", "word_lm_train_config", "word_lm_file", "config",
    "utt2langs", "model", "model_tag", "asr_train_config", "asr_model_file",
)  # fmt: skip
NO_LANGUAGE = "zxx"  # ISO 639: no linguistic content
LONGEST_UTTERANCE = 30.0  # seconds; ESPnet's program decodes utterances whole, however much memory that takes
# Options that ESPnet's program lacks, or does not hand on.
OWN_OPTIONS = (
    "config", "model", "languages", "utt2langs", "language_penalty", "language_escape", "language_smoothing",
    "language_switch_cost", "hotwords", "hotwords_file", "ngram",
)  # fmt: skip

UNSET = ("beam_size", "ngram_weight")  # options whose default depends on the model or on others


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's parser with the options of languages, hotwords and n-grams."""
    parser = with_own_options(inference_parser(), __doc__)
    add_hotword_options(parser)
    add_ngram_options(parser)
    parser.set_defaults(ngram_weight=None)  # its default is that of the n-gram that is given
    return parser


def with_own_options(
    espnets: argparse.ArgumentParser, description: str | None, of_streams: bool = False
) -> argparse.ArgumentParser:
    """The parser of one of ESPnet's programs with the options that name a model's folder and languages."""
    parser = ConfigFileParser.of(espnets).introduced_by(description)
    parser.set_defaults(beam_size=None)  # Speech2Text knows better than ESPnet's program what a model needs
    add_model_options(parser.add_argument_group("The model's folder, instead of its two files"), espnet_has_files=True)
    group = add_language_options(parser, of_streams)
    group.add_argument("--utt2langs", help="file with a line per utterance: its id, then its languages: utt1 en,de")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Decode; a mistake in the options or files ends in one sentence."""
    run(
        "asr_inference", get_parser(), cmd, OWN_OPTIONS, asr_inference.inference,
        lambda args: decode(args, load, Speech2Text.batch, write),
    )  # fmt: skip


def run(
    program: str,
    parser: argparse.ArgumentParser,
    cmd: list[str] | None,
    own_options: tuple[str, ...],
    espnets: Callable,
    ours: Callable,
) -> None:
    """Decode with a BLR-MoE model, or leave a model of another class to ESPnet's program of this name.

    Args:
        program: its name, for messages.
        parser, cmd: of the program.
        own_options: those that ESPnet's program lacks, or does not hand on.
        espnets: ESPnet's program, given its options by name.
        ours: the program for BLR-MoE models, given all options.
    """
    args = parser.parse_args(cmd)
    try:
        check_options(args, language_lists=("languages", "utt2langs"))
        options = options_for_espnet(args, program, own_options)
        if options is not None:
            return espnets(**options)
        ours(args)
    except (ValueError, OSError) as error:
        sys.exit(f"{program}: {error}")


def options_for_espnet(args: argparse.Namespace, program: str, own_options: tuple[str, ...]) -> dict | None:
    """What ESPnet's program is given, for a model of another class; None for a BLR-MoE model. Names the model's files.

    Raises:
        ValueError: a file is missing, broken or hostile, or an option is only for BLR-MoE models.
    """
    if args.model:
        vars(args).update(ModelFiles.of_folder(args.model).as_options(), model=None)
    config = read_config(args.asr_train_config) if args.asr_train_config else None
    if config is None or config.get("model") == "blr_moe":
        return None
    defaults = {"languages": None, "utt2langs": None, "language_smoothing": "frame", "language_switch_cost": None}
    defaults |= {"hotwords": None, "hotwords_file": None, "ngram": None}
    for name, default in defaults.items():
        if getattr(args, name, default) != default:
            raise ValueError(f"--{name} needs a BLR-MoE model; {args.asr_train_config} is of another kind")
    check_tokens_and_ngram(config, vars(args))
    for file in filter(None, (args.asr_model_file, args.lm_file)):
        read_weights(file)  # ESPnet's program would execute what else is in it
    options = {name: value for name, value in vars(args).items() if name not in own_options}
    for name in UNSET:
        if options.get(name, 0) is None:
            options[name] = inference_parser(program).get_default(name)
    if args.batch_size > 1:
        logging.warning("ESPnet's program decodes one utterance at a time: batch_size is 1")
    # It reads in processes, and waits for ever where /dev/shm is too small for what they read.
    return options | {"batch_size": 1, "num_workers": 0}


def load(args: argparse.Namespace) -> Speech2Text:
    """The recogniser that the parsed options describe."""
    options = {name: value for name, value in vars(args).items() if name not in PROGRAM_OPTIONS}
    options |= {"device": "cuda" if args.ngpu else "cpu", "chunk_seconds": LONGEST_UTTERANCE}
    options = {name: value for name, value in options.items() if not (name in UNSET and value is None)}
    return load_model(args, options)


def decode(args: argparse.Namespace, load: Callable, recognise: Callable, write: Callable) -> None:
    """Decode all utterances with the parsed options; the results appear in --output_dir when all are there.

    Args:
        args: options.
        load: them -> recogniser.
        recognise: recogniser, arrays (samples,) and their allowed languages (or None) -> result of each.
        write: writer, utterance, its result.

    Raises:
        ValueError: a file is missing or does not fit, a language is unknown, an utterance is unusable, or --output_dir
            cannot be written.
        OSError: there is no room for the results.
    """
    logging.basicConfig(level=args.log_level, format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s")
    check_writable(Path(args.output_dir))
    set_all_random_seed(args.seed)
    recordings = read_recordings(args.data_path_and_name_and_type, args.key_file)
    recogniser = load(args)
    utt2langs = None if args.utt2langs is None else read_utt2langs(args.utt2langs, recogniser.languages)
    waves = read_ahead(recordings, recogniser.fs, args.num_workers, args.batch_size)
    with results_in(Path(args.output_dir)) as folder, DatadirWriter(folder) as writer:
        for start in range(0, len(recordings), args.batch_size):
            utterances = [utterance for utterance, *_ in recordings[start : start + args.batch_size]]
            languages = None if utt2langs is None else [_allowed(utt2langs, u, args.utt2langs) for u in utterances]
            results = recognise(recogniser, list(islice(waves, len(utterances))), languages)
            for utterance, result in zip(utterances, results):
                write(writer, utterance, result)
            logging.info(f"{start + len(utterances)} of {len(recordings)} utterances decoded")


def read_recordings(data: Sequence[tuple[str, str, str]], key_file: str | None) -> list[tuple[str, str, str]]:
    """Utterance, audio and ESPnet's type of it, of all utterances, or of those that a key file lists.

    Where Kaldi's `segments` lies beside a table of sound files, utterances are its stretches of them.

    Raises:
        ValueError: a file is missing, broken or empty, no data are named speech or their type is unknown, or an
            utterance of the key file is missing.
    """
    sources = [(path, kind) for path, name, kind in data if name == "speech"]
    if not sources or sources[0][1] not in DATA_READERS:
        raise ValueError("--data_path_and_name_and_type gives no speech; write it as wav.scp,speech,sound")
    path, kind = sources[0]
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist; correct --data_path_and_name_and_type")
    audio_of = read_audio_table(path) if kind == "sound" else read_table(path)
    keys = read_table(key_file) if key_file else audio_of
    if not keys:
        raise ValueError(f"{key_file or path} has no utterance")
    for utterance in keys:
        if not audio_of.get(utterance):
            raise ValueError(f"{path} has no audio for utterance {utterance}; add it, or remove the utterance")
    return [(utterance, audio_of[utterance], kind) for utterance in keys]


def read_ahead(
    recordings: list[tuple[str, str, str]], fs: int, workers: int, batch_size: int
) -> Iterator[torch.Tensor]:
    """Read recordings, in order, in threads that are a batch each ahead of who takes them.

    Not in processes: what they hand over goes through /dev/shm, which is small in containers.

    Args:
        recordings: utterance, audio and ESPnet's type of it.
        fs: the model's sampling rate in Hz; files of other rates are resampled.
        workers: threads; 0: read what is asked for, when it is asked for.
        batch_size: utterances.

    Yields:
        (samples,) at the model's rate.

    Raises:
        ValueError: the audio is unusable; names the utterance.
    """
    if not workers:
        yield from (read(*recording, fs) for recording in recordings)
        return
    with ThreadPoolExecutor(workers) as threads:
        ahead: deque[Future] = deque()
        for recording in recordings:
            ahead.append(threads.submit(read, *recording, fs))
            if len(ahead) > workers * batch_size:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def read(utterance: str, source: str, kind: str, fs: int) -> torch.Tensor:
    """Read one recording; see `read_ahead`."""
    try:
        return audio.load(source if kind == "sound" else DATA_READERS[kind](source), fs)
    except (ValueError, OSError, RuntimeError) as error:
        raise ValueError(f"utterance {utterance}: {error}") from error


@contextmanager
def results_in(output_dir: Path) -> Iterator[Path]:
    """A folder to write into, whose folders take their place in the output folder when all are finished."""
    output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir, prefix="unfinished.") as unfinished:
        yield Path(unfinished)
        for folder in Path(unfinished).iterdir():
            shutil.rmtree(output_dir / folder.name, ignore_errors=True)
            folder.rename(output_dir / folder.name)


def read_utt2langs(path: str, known: Sequence[str]) -> dict[str, AllowedLanguages]:
    """Allowed languages of every utterance.

    Raises:
        ValueError: the file is missing, lists an utterance twice or a language that is not among `known`.
    """
    allowed = {}
    for utterance, codes in read_table(path).items():
        try:
            allowed[utterance] = AllowedLanguages.of(codes, known)
        except ValueError as error:
            raise ValueError(f"{path}: utterance {utterance}: {error}") from error
    return allowed


def _allowed(utt2langs: dict[str, AllowedLanguages], utterance: str, path: str) -> AllowedLanguages:
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
        nbest["text"][utterance] = text
    write_language(writer, utterance, transcript.language, transcript.language_probability, transcript.timeline)
    frames = " ".join(f"{language}:{n}" for language, n in transcript.frames.items())
    writer["1best_recog"]["expert_frames"][utterance] = frames


def write_language(
    writer: DatadirWriter, utterance: str, language: str | None, probability: float, timeline: Sequence[LanguageSpan]
) -> None:
    """Write which language one utterance is in, and when."""
    best = writer["1best_recog"]
    best["lang"][utterance] = f"{language or NO_LANGUAGE} {probability:.4f}"
    best["timeline"][utterance] = json.dumps([[span.start, span.end, span.language] for span in timeline])


if __name__ == "__main__":
    start(main)
