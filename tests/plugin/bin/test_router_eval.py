"""Scores of routers: the figures against their definitions, and the table of a tiny model."""

import math
from dataclasses import replace

import pytest
import torch
from sklearn.metrics import roc_curve
from tiny import CONFIG, LANGUAGES, RATE, build_model, write_data_dir, write_training_config

from espnet_blrmoe import Speech2Text, audio
from espnet_blrmoe.bin.router_eval import main
from espnet_blrmoe.files.trained_model import build_asr_model, read_blr_moe_config
from espnet_blrmoe.inference.lid_scores import HeardSpeech, LidScores, hear
from espnet_blrmoe.languages import parse_label
from espnet_blrmoe.model.language_labels import IGNORED


def heard_speech(utterances: int = 200, seed: int = 0) -> HeardSpeech:
    """Probabilities that are right more often than not, in two domains."""
    torch.manual_seed(seed)
    languages = torch.randint(3, (utterances,))
    logits = torch.randn(utterances, 3) + 2.0 * torch.nn.functional.one_hot(languages, 3)
    frames = torch.randint(1, 40, (utterances,))
    domains = tuple("noise" if n % 3 else "clean" for n in range(utterances))
    return HeardSpeech(domains, languages, logits.softmax(dim=-1), frames, frames // 2)


def heard_in(languages: torch.Tensor, probs: torch.Tensor) -> HeardSpeech:
    """Utterances of one frame each, of one domain, which all went to the right language."""
    ones = torch.ones(len(languages), dtype=torch.int64)
    return HeardSpeech(("all",) * len(languages), languages, probs, ones, ones)


def test_accuracies():
    heard = heard_speech()
    scores = LidScores.of(heard)
    right = [int(probs.argmax()) == int(language) for probs, language in zip(heard.probs, heard.languages)]
    assert scores.utterances == 200
    assert scores.utterance_accuracy == pytest.approx(sum(right) / 200)
    assert scores.frame_accuracy == pytest.approx(int(heard.right_frames.sum()) / int(heard.frames.sum()))


def test_utterances_in_several_languages_count_for_frames_alone():
    one = heard_speech()
    several = replace(one, languages=one.languages.masked_fill(torch.arange(200) >= 100, IGNORED))
    scores, first = LidScores.of(several), LidScores.of(HeardSpeech(
        one.domains[:100], one.languages[:100], one.probs[:100], one.frames[:100], one.right_frames[:100]))
    assert (scores.utterances, scores.frame_accuracy) == (200, LidScores.of(one).frame_accuracy)
    for name in ("utterance_accuracy", "equal_error_rate", "calibration_error"):
        assert getattr(scores, name) == getattr(first, name)
    none = LidScores.of(replace(one, languages=torch.full((200,), IGNORED)))
    assert none.frame_accuracy == scores.frame_accuracy and math.isnan(none.utterance_accuracy)
    assert math.isnan(none.equal_error_rate) and math.isnan(none.calibration_error)


def test_equal_error_rate_is_where_misses_are_as_frequent_as_false_alarms():
    heard = heard_speech()
    rates = []
    for language in range(3):
        is_it, probs = heard.languages == language, heard.probs[:, language]
        false_alarms, hits, _ = roc_curve(is_it, probs, drop_intermediate=False)
        misses = 1 - hits
        nearest = abs(false_alarms - misses).argmin()
        rates.append((false_alarms[nearest] + misses[nearest]) / 2)
    assert LidScores.of(heard).equal_error_rate == pytest.approx(sum(rates) / 3, abs=0.01)


def test_calibration_error_compares_confidence_with_accuracy():
    languages = torch.zeros(100, dtype=torch.int64)
    languages[80:] = 1  # a router that is 95 % sure of language 0, and right in 80 %
    probs = torch.tensor([[0.95, 0.05]]).expand(100, 2)
    assert LidScores.of(heard_in(languages, probs)).calibration_error == pytest.approx(0.15, abs=1e-4)


def test_one_language_has_no_equal_error_rate():
    probs = torch.tensor([[0.9, 0.1]] * 4)
    assert math.isnan(LidScores.of(heard_in(torch.zeros(4, dtype=torch.int64), probs)).equal_error_rate)


def test_the_router_hears_what_recognition_hears(tiny_model, tmp_path):
    data = write_data_dir(tmp_path, ["en", "de", "zh-CN", "en"])
    heard = hear(build_model(tiny_model.config).eval(), RATE, data)
    options = {"vad": "none", "language_smoothing": "frame"}  # nothing is cut off, and frames are for themselves
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=1, **options)
    transcripts = [speech2text(data / f"utt{n}.wav") for n in range(4)]  # in order of size
    assert heard.frames.tolist() == [sum(t.frames.values()) for t in transcripts]
    right = [t.frames[language] for t, language in zip(transcripts, ("en", "de", "zh-CN", "en"))]
    assert heard.right_frames.tolist() == right and 0 < sum(right) < sum(heard.frames)
    for probs, transcript in zip(heard.probs, transcripts):
        assert float(probs.max()) == pytest.approx(transcript.language_probability, abs=1e-5)


def test_kaldis_segments(tiny_model, tmp_path):
    data = write_data_dir(tmp_path, ["en", "de"])
    (data / "segments").write_text("a utt1 0.2 0.5\nb utt0 0 -1\nc utt1 0 0.3\n", encoding="utf-8")
    (data / "utt2lang").write_text("a de\nb en\nc de\n", encoding="utf-8")
    heard = hear(build_model(tiny_model.config).eval(), RATE, data)
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=1)
    by_size = [data / "utt1.wav[1600:3999]", data / "utt1.wav[0:2399]", data / "utt0.wav"]
    assert heard.languages.tolist() == [LANGUAGES.index(language) for language in ("de", "de", "en")]
    for probs, path in zip(heard.probs, by_size, strict=True):
        assert float(probs.max()) == pytest.approx(speech2text(path).language_probability, abs=1e-5)


def test_a_model_of_one_language_has_no_router(tmp_path):
    config = write_training_config(tmp_path, encoder_conf={**CONFIG["encoder_conf"], "languages": ["en"]})
    torch.save(build_asr_model(read_blr_moe_config(config)).state_dict(), tmp_path / "model.pth")
    data = write_data_dir(tmp_path / "data", ["en", "en"])
    with pytest.raises(SystemExit, match="^router_eval: the model of .* has one language, and so no router to score$"):
        main(["--model", str(tmp_path), "--data_dir", str(data)])


def test_table_by_data_and_domain(tiny_model, tmp_path, capsys):
    data = write_data_dir(tmp_path / "test_out", ["en", "de", "zh-CN", "en"])
    (data / "utt2domain").write_text("utt0 noise\nutt1 noise\nutt2 codec\nutt3 codec\n", encoding="utf-8")
    model = ["--model", str(tiny_model.config.parent)]
    main([*model, *model, "--data_dir", str(data), "--output", str(tmp_path / "lid.tsv")])
    rows = [line.split("\t") for line in (tmp_path / "lid.tsv").read_text(encoding="utf-8").splitlines()]
    assert [row[1] for row in rows[1:]] == ["codec", "codec", "noise", "noise", "all", "all"]
    assert rows[1][3:] == rows[2][3:] and [row[3] for row in rows[1::2]] == ["2", "2", "4"]
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(rows) and "calibration error %" in shown[0]


def test_where_only_the_order_is_known_nothing_is_scored(tiny_model, tmp_path, capsys):
    data = write_data_dir(tmp_path / "data", ["en", "de en", "de:0:0.4 en:0.5:1", "de:0.1:0.9", "de:0:1 en:0:1"])
    model = ["--model", str(tiny_model.config.parent)]
    main([*model, "--data_dir", str(data)])
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["data", "data", tiny_model.config.parent.name, "3"]
    mixed = write_data_dir(tmp_path / "mixed", ["de en", "en de"])
    main([*model, "--data_dir", str(mixed), "--data_dir", str(data)])
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2 and "mixed: no utterance says when each" in shown.err


TIMES = {  # of three utterances of 0.5, 0.6 and 0.7 s; the second is in one language
    "utt2lang": "utt0 de:0.0:0.4 en:0.6:1.0\nutt1 de\nutt2 en:0.1:0.5 zh-CN:0.5:0.9\n",
    "stretches": "utt0 0 0.2 de\nutt0 0.3 0.5 en\nutt2 0.07 0.35 en\nutt2 0.35 0.63 zh-CN\n",
    "timeline": 'utt0 [[0, 0.2, "de", "a"], [0.3, 0.5, "en", "b"]]\nutt1 [[0, 0.6, "de", "a"]]\n'
                'utt2 [[0.07, 0.35, "en", "a"], [0.35, 0.63, "zh-CN", "b"]]\n',
}


@pytest.mark.parametrize("table", TIMES)
def test_frames_are_compared_with_the_stretch_that_they_lie_in(table, tiny_model, tmp_path):
    data = write_data_dir(tmp_path / "data", ["de", "de", "en"])
    (data / table).write_text(TIMES[table], encoding="utf-8")
    model = build_model(tiny_model.config).eval()
    heard = hear(model, RATE, data)
    frames, right = [], []
    for n, line in enumerate(TIMES["utt2lang"].splitlines()):
        wave = audio.load(data / f"utt{n}.wav", RATE)
        language = model.route(wave.unsqueeze(0), torch.tensor([len(wave)])).language[0].tolist()
        middles = [(frame + 0.5) / len(language) for frame in range(len(language))]
        known = [(own, stretch.language) for own, middle in zip(language, middles)
                 for stretch in parse_label(line.partition(" ")[2]) if stretch.start <= middle < stretch.end]
        frames.append(len(known))
        right.append(sum(LANGUAGES[own] == spoken for own, spoken in known))
    assert (heard.frames.tolist(), heard.right_frames.tolist()) == (frames, right)
    assert 0 < sum(right) < sum(frames) < sum(hear(model, RATE, write_data_dir(tmp_path / "one", ["de"] * 3)).frames)
    assert heard.languages.tolist() == [IGNORED, LANGUAGES.index("de"), IGNORED]


def test_an_output_that_cannot_be_written_is_told_before_anything_is_heard(tiny_model, tmp_path):
    arguments = ["--model", str(tiny_model.config.parent), "--data_dir", str(tmp_path / "no data")]
    with pytest.raises(SystemExit, match="^router_eval: .*lid.tsv cannot be written: No such file or directory"):
        main([*arguments, "--output", str(tmp_path / "nowhere" / "lid.tsv")])


def test_what_was_measured_is_shown_even_if_the_disk_is_full(tiny_model, tmp_path, capsys):
    data = write_data_dir(tmp_path / "data", ["en", "de"])
    with pytest.raises(SystemExit, match="^router_eval: .*No space left on device"):
        main(["--model", str(tiny_model.config.parent), "--data_dir", str(data), "--output", "/dev/full"])
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: (data / "utt2lang").unlink(), "utt2lang"),
        (lambda data: (data / "utt2lang").write_text("utt0 en\n\nutt1 de\n"), "utt2lang has an empty line; remove it"),
        (lambda data: (data / "utt2lang").write_text("utt0 en\n"), "utterance utt1 is missing in utt2lang"),
        (lambda data: (data / "utt2lang").write_text("utt0 en\nutt1 fr\n"), "has language 'fr'; the model knows en"),
        (lambda data: (data / "utt2lang").write_text("utt0 en\nutt1 en fr\n"), "has language 'fr'; the model knows en"),
        (lambda data: (data / "utt2lang").write_text("utt0 en\nutt1\n"), "utt2lang: utterance utt1: there is no"),
        (lambda data: (data / "stretches").write_text("utt1 0 0.6 fr\n"), "stretches: utterance utt1 has language"),
        (lambda data: (data / "stretches").write_text("utt1 0 9 en\n"),
         "stretches: utterance utt1 has 0.60 s, and no stretch in en from 0 to 9 s; correct the times"),
        (lambda data: (data / "stretches").write_text("utt1 0 en\n"), "stretches:1: utt1 0 en: expected 'utterance"),
        (lambda data: (data / "stretches").write_text("lost 0 1 en\n"), "stretches: utterance lost is not in wav.scp"),
        (lambda data: (data / "timeline").write_text("utt1 [[0, 1]]\n"), "timeline: utt1: expected a JSON list"),
        (lambda data: (data / "utt1.wav").unlink(), "utterance utt1: .*utt1.wav does not exist"),
        (lambda data: (data / "utt1.wav").write_bytes(b"RIFF"), "utt1.wav cannot be read as audio"),
    ],
)
def test_bad_data(tiny_model, tmp_path, spoil, message):
    data = write_data_dir(tmp_path / "data", ["en", "de"])
    spoil(data)
    with pytest.raises(SystemExit, match=f"^router_eval: .*{message}"):
        main(["--model", str(tiny_model.config.parent), "--data_dir", str(data)])
