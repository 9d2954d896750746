"""Utterances joined in training: their audio, texts and languages, and trainings with them."""

import logging
import re

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.train.dataset import ESPnetDataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CONFIG, LANGUAGES, RATE, write_data_dir

from espnet_blrmoe.espnet_internals import replace_loaders
from espnet_blrmoe.files.weights import read_weights
from espnet_blrmoe.languages import decode_label
from espnet_blrmoe.model.language_labels import IGNORED, LanguageLabels
from espnet_blrmoe.training.asr_task import BLRMoETask
from espnet_blrmoe.training.joining import JoinedLoader, join_audio
from espnet_blrmoe.training.preprocessor import BLRMoEPreprocessor

TOKENS = CONFIG["token_list"]


def preprocessor(**options) -> BLRMoEPreprocessor:
    return BLRMoEPreprocessor(train=True, token_type="char", token_list=TOKENS, **options)


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 4000), min_size=2, max_size=5),
    pauses=st.lists(st.integers(0, 3000), min_size=4, max_size=4),
    codes=st.lists(st.sampled_from(LANGUAGES), min_size=5, max_size=5),
    texts=st.lists(st.text("abc", min_size=1, max_size=5), min_size=5, max_size=5),
    frames=st.integers(1, 200),
    seed=st.integers(0, 99),
)
def test_audio_text_and_labels_of_frames_follow_the_parts(lengths, pauses, codes, texts, frames, seed):
    np.random.seed(seed)
    pauses, codes, texts = pauses[: len(lengths) - 1], codes[: len(lengths)], texts[: len(lengths)]
    parts = tuple(np.random.uniform(0.5, 1.0, length).astype(np.float32) for length in lengths)  # louder than any pause
    uid = " ".join(str(word) for n, pause in enumerate([*pauses, ""]) for word in (f"utt{n}", pause)).strip()
    data = preprocessor()(uid, {"speech": parts, "text": tuple(texts), "lid": tuple(codes)})

    speech, starts = data["speech"], np.cumsum([0, *map(sum, zip(lengths, pauses))])
    assert speech.dtype == np.float32 and len(speech) == sum(lengths) + sum(pauses)
    for part, start in zip(parts, starts):
        np.testing.assert_array_equal(speech[start : start + len(part)], part)
    in_parts = np.full(len(speech), IGNORED)
    latest = np.zeros(len(speech), dtype=int)
    for code, part, start in zip(codes, parts, starts):
        in_parts[start : start + len(part)] = latest[start:] = LANGUAGES.index(code)
    assert abs(speech[in_parts == IGNORED]).max(initial=0) < 0.3

    assert "".join(TOKENS[n] for n in data["text"]).replace("<space>", " ") == " ".join(texts)

    labels = LanguageLabels.of([decode_label(data["lid"].tolist())], LANGUAGES)
    valid = torch.ones(1, frames, dtype=torch.bool)
    middle = ((np.arange(frames) + 0.5) * len(speech) / frames)
    edges = np.array([start + edge for start, length in zip(starts, lengths) for edge in (0, length)])
    clear = abs(middle[:, None] - edges).min(axis=1) > 0.1  # rounding
    routed = labels.routed(valid, torch.zeros(*valid.shape, len(LANGUAGES)))[0]
    for found, expected in ((labels.spoken(valid)[0], in_parts), (routed, latest)):
        np.testing.assert_array_equal(found.numpy()[clear], expected[middle.astype(int)][clear])


def test_labels_of_a_batch():
    labels = LanguageLabels.of([decode_label([ord(c) for c in text]) for text in
                                ("en", "de:0:0.25 en:0.5:0.75 en:0.75:1 zh-CN:1:1")], LANGUAGES)  # fmt: skip
    valid = torch.tensor([[True, True, True, False, False, False, False, False], [True] * 8])
    routed = labels.routed(valid, torch.zeros(*valid.shape, len(LANGUAGES)))
    assert routed[0, :3].tolist() == [0, 0, 0]
    assert labels.spoken(valid).tolist() == [[0, 0, 0, *[IGNORED] * 5], [1, 1, IGNORED, IGNORED, 0, 0, 0, 0]]
    assert routed[1].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    languages, numbers = labels.sequences()
    assert languages.tolist() == [0, 1, 0, 2] and numbers.tolist() == [1, 3]


def test_parts_in_several_languages_keep_their_order_and_times():
    silence = np.zeros(1000, dtype=np.float32)
    data = {"speech": (silence,) * 3, "text": ("a",) * 3, "lid": ("zh-CN en", "de:0:0.5 en:0.6:1\n", "en")}
    joined = preprocessor()("one 1000 two 0 three", data)
    assert decode_label(joined["lid"].tolist()) == [
        ("zh-CN", 0, 0.25), ("en", 0, 0.25), ("de", 0.5, 0.625), ("en", 0.65, 0.75), ("en", 0.75, 1)]  # fmt: skip


def test_pauses_are_room_tone_or_digital_silence():
    parts = [np.full(1000, 0.1, dtype=np.float32)] * 2
    loudness = []
    for seed in range(40):
        audio, _ = join_audio(parts, [5000], np.random.default_rng(seed))
        loudness.append(audio[1000:6000].std() / 0.1)
    silent = sum(level == 0 for level in loudness)
    assert 10 <= silent <= 30
    assert all(level == 0 or 10 ** (-61 / 20) < level < 10 ** (-24 / 20) for level in loudness)


def test_every_part_is_augmented_by_itself_and_seeds_repeat_it():
    tone = np.sin(2 * np.pi * 500 * np.arange(4000) / RATE).astype(np.float32)
    augmented = preprocessor(fs=RATE, augmentation={"speed": [0.8, 1.25]})
    results = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        data = {"speech": (tone, tone), "text": ("a", "b"), "lid": ("en", "de")}
        results.append(augmented("one 1000 two", data))
    (first, again, other), (one, two) = results, decode_label(results[0]["lid"].tolist())
    np.testing.assert_array_equal(first["speech"], again["speech"])
    assert len(other["speech"]) != len(first["speech"])
    whole = len(first["speech"])
    lengths = [(stretch.end - stretch.start) * whole for stretch in (one, two)]
    assert lengths[0] != pytest.approx(lengths[1], abs=2)
    assert (two.start - one.end) * whole == pytest.approx(1000, abs=1)


def test_scripts_without_spaces_are_joined_without_one():
    joined = BLRMoEPreprocessor(train=True, token_type="char", token_list=["<unk>", "<space>", "好", "a"])
    silence = np.zeros(10, dtype=np.float32)
    data = {"speech": (silence,) * 3, "text": ("好", "好", "a"), "lid": ("zh-CN", "zh-CN", "en")}
    assert joined("one 0 two 0 three", data)["text"].tolist() == [2, 2, 1, 3]


# ------------------------------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data directory of 16 utterances; the last two are stretches of a recording."""
    folder = write_data_dir(tmp_path_factory.mktemp("data"), [LANGUAGES[n % 3] for n in range(16)])
    (folder / "text").write_text("".join(f"utt{n} a b\n" for n in range(16)), encoding="utf-8")
    for name, stretches in (("wav.scp", [f"{folder}/utt15.wav[{n}:{n + 4999}]" for n in (0, 5000)]),
                            ("utt2num_samples", [5000, 5000])):  # fmt: skip
        lines = (folder / name).read_text(encoding="utf-8").splitlines()[:14]
        lines += [f"utt{14 + n} {value}" for n, value in enumerate(stretches)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


INPUTS = ("wav.scp,speech,sound", "text,text,text", "utt2lang,lid,text")
JOINED = {"share": 0.7, "parts": [2, 3], "pause": [0.0, 0.3]}


def train(data, output, inputs=INPUTS, **options) -> dict[str, torch.Tensor]:
    """Train the tiny model; its weights."""
    config = {
        **CONFIG, "max_epoch": 2, "batch_type": "numel", "batch_bins": 40000, "optim": "sgd",
        "optim_conf": {"lr": 0.001}, "log_level": "INFO", "best_model_criterion": [["valid", "loss", "min"]],
        "allow_variable_data_keys": True, "joined_conf": JOINED, **options,
    }  # fmt: skip
    output.mkdir()
    (output / "options.yaml").write_text(yaml.safe_dump(config))
    arguments = [f"--config={output}/options.yaml", f"--output_dir={output}"]
    for part in ("train", "valid"):
        arguments += [f"--{part}_data_path_and_name_and_type={data}/{given}" for given in inputs]
        arguments += [f"--{part}_shape_file={data}/utt2num_samples"]
    BLRMoETask.main(cmd=arguments)
    return read_weights(output / "2epoch.pth")


def test_a_training_joins_and_can_be_repeated_in_other_processes(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    one, two = (train(data, tmp_path / f"asr{n}", num_workers=1) for n in range(2))
    torch.testing.assert_close(one, two, rtol=0.0, atol=0.0)
    assert caplog.text.count("BalancedBatchSampler") == 2  # validation stays as it is
    share = float(re.search(r"joined utterances=([0-9.]+)%", caplog.text)[1])
    assert 50 <= share <= 70
    assert all(value.isfinite().all() for value in one.values())
    config = yaml.safe_load((tmp_path / "asr0/config.yaml").read_text(encoding="utf-8"))
    assert config["joined_conf"] == JOINED
    alone = train(data, tmp_path / "alone", joined_conf={})
    assert any(not alone[name].equal(value) for name, value in one.items())


@pytest.mark.parametrize("kind", ["sound", "npy", "text"])
def test_a_batch_holds_joined_audio_texts_and_labels(tmp_path, kind):
    """As in a training's process that reads ahead: ESPnet's data set, then its collation."""
    lengths = {"utt0": 4000, "utt1": 5000, "utt2": 6000}
    for utterance, length in lengths.items():
        speech = np.random.default_rng(0).uniform(-0.5, 0.5, length).astype(np.float32)
        np.save(tmp_path / f"{utterance}.npy", speech)
        soundfile.write(tmp_path / f"{utterance}.wav", speech, RATE, subtype="FLOAT")
    ending = "npy" if kind == "npy" else "wav"
    for name, values in (("wav.scp", [tmp_path / f"{utterance}.{ending}" for utterance in lengths]),
                         ("text", ["a b"] * 3), ("utt2lang", LANGUAGES)):  # fmt: skip
        (tmp_path / name).write_text("".join(f"{key} {value}\n" for key, value in zip(lengths, values)))
    inputs = [(f"{tmp_path}/wav.scp", "speech", kind), (f"{tmp_path}/text", "text", "text"),
              (f"{tmp_path}/utt2lang", "lid", "text")]  # fmt: skip
    data_set = ESPnetDataset(inputs, preprocess=preprocessor(fs=RATE))
    replace_loaders(data_set, JoinedLoader)
    ids, batch = CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)(
        [data_set["utt0 800 utt1 0 utt0"], data_set["utt2"]]
    )
    assert ids == ["utt0 800 utt1 0 utt0", "utt2"]
    assert batch["speech_lengths"].tolist() == [2 * 4000 + 5000 + 800, 6000]
    assert batch["speech"][0, :4000].equal(batch["speech"][0, -4000:])
    assert batch["text"].tolist() == [[2, 5, 3, 5, 2, 5, 3, 5, 2, 5, 3], [2, 5, 3, *[-1] * 8]]
    assert [[one.language for one in decode_label(label)] for label in batch["lid"].tolist()] == [
        ["en", "de", "en"], ["zh-CN"]]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"joined_conf": {"share": 2}}, "joined_conf: share must be a share from 0 to 1, not 2"),
        ({"joined_conf": {"parts": [2, 3]}}, "joined_conf: .*missing 1 required .*'share'"),
        ({"joined_conf": {"share": 0.3, "gap": 1}}, "joined_conf: .*unexpected keyword argument 'gap'"),
        ({"iterator_type": "chunk"}, "joined_conf need iterator_type: sequence, not chunk"),
        ({"preprocessor": "default"}, "joined_conf needs preprocessor: blr_moe"),
        ({"inputs": INPUTS[:2]}, "joined_conf need the languages: .*utt2lang,lid,text"),
        ({"inputs": (*INPUTS, "text,prompt,text")}, "speech, text and lid can be joined, .* lid, prompt, speech, text"),
    ],
)
def test_mistakes_get_one_sentence(data, tmp_path, options, message):
    with pytest.raises(SystemExit) as stopped:
        train(data, tmp_path / "asr", **options)
    assert re.search(message, str(stopped.value)) and "\n" not in str(stopped.value)
