"""Scores of routers: the figures against their definitions, and the table of a tiny model."""

import math

import pytest
import torch
from sklearn.metrics import roc_curve
from tiny import CONFIG, LANGUAGES, RATE, build_model, write_data_dir, write_training_config

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.bin.router_eval import main
from espnet_blrmoe.files.trained_model import build_asr_model, read_blr_moe_config
from espnet_blrmoe.inference.lid_scores import HeardSpeech, LidScores, hear


def heard_speech(utterances: int = 200, seed: int = 0) -> HeardSpeech:
    """Probabilities that are right more often than not, in two domains."""
    torch.manual_seed(seed)
    languages = torch.randint(3, (utterances,))
    logits = torch.randn(utterances, 3) + 2.0 * torch.nn.functional.one_hot(languages, 3)
    frames = torch.randint(0, 40, (utterances, 3)) + 1
    domains = tuple("noise" if n % 3 else "clean" for n in range(utterances))
    return HeardSpeech(domains, languages, logits.softmax(dim=-1), frames)


def test_accuracies():
    heard = heard_speech()
    scores = LidScores.of(heard)
    right = [int(probs.argmax()) == int(language) for probs, language in zip(heard.probs, heard.languages)]
    assert scores.utterances == 200
    assert scores.utterance_accuracy == pytest.approx(sum(right) / 200)
    frames = sum(int(counts[language]) for counts, language in zip(heard.frames, heard.languages))
    assert scores.frame_accuracy == pytest.approx(frames / int(heard.frames.sum()))


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
    heard = HeardSpeech(("all",) * 100, languages, probs, torch.ones(100, 2, dtype=torch.int64))
    assert LidScores.of(heard).calibration_error == pytest.approx(0.15, abs=1e-4)


def test_one_language_has_no_equal_error_rate():
    probs = torch.tensor([[0.9, 0.1]] * 4)
    heard = HeardSpeech(("all",) * 4, torch.zeros(4, dtype=torch.int64), probs, torch.ones(4, 2, dtype=torch.int64))
    assert math.isnan(LidScores.of(heard).equal_error_rate)


def test_the_router_hears_what_recognition_hears(tiny_model, tmp_path):
    data = write_data_dir(tmp_path, ["en", "de", "zh-CN", "en"])
    heard = hear(build_model(tiny_model.config).eval(), RATE, data)
    speech2text = Speech2Text(tiny_model.config, tiny_model.weights, beam_size=1, vad="none")  # which cuts nothing off
    transcripts = [speech2text(data / f"utt{n}.wav") for n in range(4)]  # in order of size
    assert [dict(zip(LANGUAGES, frames.tolist())) for frames in heard.frames] == [t.frames for t in transcripts]
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


def test_utterances_in_several_languages_are_left_out(tiny_model, tmp_path, capsys):
    data = write_data_dir(tmp_path / "data", ["en", "de en", "de:0:0.4 en:0.5:1", "de:0.1:0.9"])
    model = ["--model", str(tiny_model.config.parent)]
    main([*model, "--data_dir", str(data)])
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["data", "data", tiny_model.config.parent.name, "2"]
    mixed = write_data_dir(tmp_path / "mixed", ["de en", "en de"])
    main([*model, "--data_dir", str(mixed), "--data_dir", str(data)])
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2 and "mixed: every utterance is in several languages" in shown.err


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
        (lambda data: (data / "utt1.wav").unlink(), "utterance utt1: .*utt1.wav does not exist"),
        (lambda data: (data / "utt1.wav").write_bytes(b"RIFF"), "utt1.wav cannot be read as audio"),
    ],
)
def test_bad_data(tiny_model, tmp_path, spoil, message):
    data = write_data_dir(tmp_path / "data", ["en", "de"])
    spoil(data)
    with pytest.raises(SystemExit, match=f"^router_eval: .*{message}"):
        main(["--model", str(tiny_model.config.parent), "--data_dir", str(data)])
