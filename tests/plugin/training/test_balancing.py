"""Languages balanced in training: shares, turns, lengths, processes, and ESPnet's training with it."""

import logging
import re
from collections import Counter

import numpy as np
import pytest
import yaml
from tiny import CONFIG, RATE, write_data_dir

from espnet_blrmoe.training.asr_task import BLRMoETask
from espnet_blrmoe.training.balancing import BalancedBatchSampler, balanced_shares

UTTERANCES = {"de": 600, "en": 300, "cy": 100}
BATCH_OPTIONS = {"type": "numel", "batch_size": 20, "batch_bins": 400000}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Shape files and utt2lang of a corpus in which all languages have clips of 0.5 to 10 s."""
    folder, generator = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    lines = {"speech_shape": [], "text_shape": [], "utt2lang": []}
    for language, number in UTTERANCES.items():
        for n in range(number):
            values = generator.integers(RATE // 2, 10 * RATE), f"{generator.integers(2, 50)},30", language
            for table, value in zip(lines.values(), values):
                table.append(f"{language}-{n:03d} {value}\n")
    for name, table in lines.items():
        (folder / name).write_text("".join(table), encoding="utf-8")
    return folder


def sampler_of(corpus, temperature=1.0, language_batches="mixed", rank=0, world_size=1, **batch_options):
    shape_files = [str(corpus / "speech_shape"), str(corpus / "text_shape")]
    options = {**BATCH_OPTIONS, "min_batch_size": world_size, **batch_options}
    utt2lang = str(corpus / "utt2lang")
    return BalancedBatchSampler(shape_files, utt2lang, temperature, language_batches, options, rank, world_size)


def lengths_of(corpus):
    lines = (corpus / "speech_shape").read_text().splitlines()
    return {key: int(length) for key, length in (line.split() for line in lines)}


def heard(batches):
    """How often each utterance is heard."""
    return Counter(key for batch in batches for key in batch)


def hours_share(corpus, batches):
    """Each language's share of what is heard."""
    lengths, amounts = lengths_of(corpus), Counter()
    for key, times in heard(batches).items():
        amounts[key[:2]] += times * lengths[key]
    return {language: amount / amounts.total() for language, amount in amounts.items()}


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(1, [0.9, 0.09, 0.01]), (2, [0.7029, 0.2223, 0.0741]), (float("inf"), [1 / 3, 1 / 3, 1 / 3])],
)
def test_shares(temperature, expected):
    assert balanced_shares(np.array([900, 90, 10]), temperature) == pytest.approx(expected, abs=1e-3)


TYPES = ["numel", "length", "sorted", "folded", "unsorted"]


@pytest.mark.parametrize("batch_type", TYPES)
@pytest.mark.parametrize("language_batches", ["mixed", "single"])
@pytest.mark.parametrize("temperature", [1.0, 2.0, float("inf")])
def test_languages_have_their_shares_in_every_epoch(corpus, batch_type, language_batches, temperature):
    options = {"type": batch_type, "fold_lengths": (80000, 150)}
    sampler = sampler_of(corpus, temperature, language_batches, **options)
    lengths, amounts = lengths_of(corpus), Counter()
    for key, length in lengths.items():
        amounts[key[:2]] += length
    expected = dict(zip(amounts, balanced_shares(np.array([*amounts.values()]), temperature)))
    for epoch in (1, 2):
        batches = sampler.generate(epoch)
        assert hours_share(corpus, batches) == pytest.approx(expected, abs=0.03)
        assert heard(batches).total() == pytest.approx(sum(UTTERANCES.values()), rel=0.1)
        assert all(len(set(batch)) == len(batch) for batch in batches)


def test_one_language_a_batch(corpus):
    single = sampler_of(corpus, 2.0, "single")
    assert all(len({key[:2] for key in batch}) == 1 for batch in single.generate(1))
    assert single.languages_a_batch == 1
    mixed = sampler_of(corpus, float("inf"))
    counts = [len({key[:2] for key in batch}) for batch in mixed.generate(0)]
    assert mixed.languages_a_batch == pytest.approx(np.mean(counts))
    assert mixed.languages_a_batch > 2


@pytest.mark.parametrize("language_batches", ["mixed", "single"])
def test_batches_are_of_similar_length_and_within_their_limit(corpus, language_batches):
    lengths = lengths_of(corpus)
    for batch in sampler_of(corpus, 3.0, language_batches).generate(1):
        longest = max(lengths[key] for key in batch)
        assert len(batch) * longest <= BATCH_OPTIONS["batch_bins"] + longest + 50 * 30 * len(batch)
    batches = sampler_of(corpus, 3.0, language_batches).generate(1)
    padded = sum(len(batch) * max(lengths[key] for key in batch) for batch in batches)
    assert sum(lengths[key] for batch in batches for key in batch) / padded > 0.85


@pytest.mark.parametrize("language_batches", ["mixed", "single"])
def test_all_utterances_of_a_language_are_heard_equally_often(corpus, language_batches):
    sampler = sampler_of(corpus, float("inf"), language_batches)
    times = heard(batch for epoch in range(5) for batch in sampler.generate(epoch))
    for language, number in UTTERANCES.items():
        counts = np.array([times[f"{language}-{n:03d}"] for n in range(number)])
        usual = np.median(counts)
        # A batch more or less in an epoch is lost or repeated.
        assert np.mean(abs(counts - usual) <= 1) > 0.97 and usual >= 2


@pytest.mark.parametrize("language_batches", ["mixed", "single"])
def test_the_same_epoch_is_the_same_whatever_was_before(corpus, language_batches):
    one, two = (sampler_of(corpus, 3.0, language_batches) for _ in range(2))
    for epoch in range(4):
        one.generate(epoch)
    assert one.generate(4) == two.generate(4)
    assert len(one.generate(4)) == len(one.generate(5)) == len(one)


@pytest.mark.parametrize("language_batches", ["mixed", "single"])
def test_processes_share_every_batch(corpus, language_batches):
    shares = [sampler_of(corpus, 3.0, language_batches, rank, 3).generate(1) for rank in range(3)]
    assert len({len(share) for share in shares}) == 1
    for parts in zip(*shares):
        assert min(map(len, parts)) >= 1 and max(map(len, parts)) - min(map(len, parts)) <= 1
        if language_batches == "single":
            assert len({key[:2] for part in parts for key in part}) == 1


def test_a_language_with_fewer_utterances_than_processes(corpus, tmp_path):
    for name in ("speech_shape", "text_shape", "utt2lang"):
        lines = (corpus / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(x for x in lines if not x.startswith("cy") or x.startswith("cy-000")))
    with pytest.raises(ValueError, match="with cy has 1 utterances, fewer than the 4 processes that share it; take"):
        sampler_of(tmp_path, 1.0, "single", world_size=4)


def test_tables_that_do_not_fit(corpus, tmp_path):
    for name in ("speech_shape", "text_shape", "utt2lang"):
        (tmp_path / name).write_text((corpus / name).read_text())
    lines = (corpus / "utt2lang").read_text().splitlines(keepends=True)
    (tmp_path / "utt2lang").write_text("".join(lines[1:]))
    with pytest.raises(ValueError, match="utt2lang has no language for utterance de-000; add it"):
        sampler_of(tmp_path)
    (tmp_path / "text_shape").write_text("de-000 3,30\n")
    with pytest.raises(ValueError, match="text_shape and .*speech_shape have different utterances"):
        sampler_of(tmp_path)
    (tmp_path / "speech_shape").write_text("de-000 de-000.wav\n")
    with pytest.raises(ValueError, match="speech_shape: utterance de-000 has 'de-000.wav' for its length"):
        sampler_of(tmp_path)


LANGUAGES = ["en"] * 12 + ["de"] * 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data directory of 12 utterances in English and 4 in German."""
    folder = write_data_dir(tmp_path_factory.mktemp("data"), LANGUAGES)
    (folder / "text").write_text("".join(f"utt{n} a b\n" for n in range(len(LANGUAGES))))
    return folder


INPUTS = ("wav.scp,speech,sound", "text,text,text", "utt2lang,lid,text")


def train(train_data, valid_data, output, inputs=INPUTS, **options):
    """Train the tiny model."""
    config = {
        **CONFIG, "max_epoch": 1, "batch_type": "numel", "batch_bins": 40000, "optim": "adamw", "log_level": "INFO",
        "best_model_criterion": [["valid", "loss", "min"]], "allow_variable_data_keys": True, **options,
    }  # fmt: skip
    output.mkdir()
    (output / "options.yaml").write_text(yaml.safe_dump(config))
    arguments = [f"--config={output}/options.yaml", f"--output_dir={output}"]
    for part, data in (("train", train_data), ("valid", valid_data)):
        arguments += [f"--{part}_data_path_and_name_and_type={data}/{given}" for given in inputs]
        arguments += [f"--{part}_shape_file={data}/utt2num_samples"]
    BLRMoETask.main(cmd=arguments)


@pytest.mark.parametrize(
    ("options", "rows", "batches"),
    [
        ({"language_temperature": float("inf")}, ["de 4 0.00 37.0 50.0 1.35", "en 12 0.00 63.0 50.0 0.79"], ""),
        ({"language_batches": "single", "num_iters_per_epoch": 3}, ["de 4 0.00 37.0 37.0 1.00"], "a batch=1.0"),
    ],
)
def test_training_says_what_it_hears(data, tmp_path, caplog, options, rows, batches):
    caplog.set_level(logging.INFO)
    train(data, data, tmp_path / "asr", **options)
    assert (tmp_path / "asr/1epoch.pth").exists()
    log = " ".join(caplog.text.split())
    assert all(row in log for row in rows) and batches in log
    assert log.count("BalancedBatchSampler") == 1  # validation stays as it is


def test_each_split_is_balanced(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    split = tmp_path / "split"
    for name in ("wav.scp", "text", "utt2lang", "utt2num_samples"):
        (split / name).mkdir(parents=True)
        (split / name / "num_splits").write_text("2")
        lines = (data / name).read_text().splitlines(keepends=True)
        for n in range(2):
            (split / name / f"split.{n}").write_text("".join(lines[n::2]))
    train(split, data, tmp_path / "asr", multiple_iterator=True, language_temperature=2.0)
    assert caplog.text.count("BalancedBatchSampler") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language_temperature": 0.5}, "language_temperature must be 1 or more, not 0.5"),
        ({"language_temperature": "high"}, "language_temperature: invalid float value: 'high'"),
        ({"language_temperature": True}, "language_temperature must be 1 or more, not True"),
        ({"language_batches": "one"}, "language_batches must be mixed or single, not one"),
        ({"language_temperature": 2.0, "iterator_type": "chunk"}, "need iterator_type: sequence, not chunk"),
        ({"language_batches": "single", "shuffle_within_batch": True}, "shuffle_within_batch cannot be combined"),
        ({"language_temperature": 2.0, "inputs": ("wav.scp,speech,sound",)}, "need the languages: .*utt2lang,lid,text"),
    ],
)
def test_mistakes_get_one_sentence(data, tmp_path, options, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        train(data, data, tmp_path / "asr", **options)
    assert re.search(message, f"{stopped.value} {capsys.readouterr().err}")
