"""The benchmark of wrong experts: what goes wrong, what is seen of the attention, and its tables."""

import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CONFIG, LANGUAGES, write_data_dir, write_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "local"))

from paper_table import wrong_experts  # noqa: E402

from espnet_blrmoe import Speech2Text  # noqa: E402
from espnet_blrmoe.model.attention import SelfAttention  # noqa: E402
from espnet_blrmoe.model.packing import PackedFrames  # noqa: E402

OWN, EXPERTS, FRAMES = [0, 1, 2, 0] * 25, ["romance", "de", "romance"], [200] * 100


def wrong(kind, share, seed=0):
    """(utterances, frames) bool: which frames are in another language than their utterance's, and the languages."""
    drawn = torch.stack(wrong_experts.draw_languages(OWN, EXPERTS, FRAMES, kind, share, seed)).numpy()
    return drawn != np.array(OWN)[:, None], drawn


@pytest.mark.parametrize("kind", wrong_experts.KINDS)
def test_the_share_that_goes_wrong(kind):
    before = wrong(kind, 0.0)[0]
    assert not before.any()
    for share in wrong_experts.SHARES:
        is_wrong, drawn = wrong(kind, share)
        assert is_wrong.mean() == pytest.approx(share, abs=0.01)
        assert (is_wrong >= before).all()  # what was wrong is wrong
        assert not np.isin(drawn[np.array(OWN) != 1], [0, 2])[is_wrong[np.array(OWN) != 1]].any()  # the same expert
        before = is_wrong
    assert (wrong(kind, 0.2, seed=1)[0] != wrong(kind, 0.2)[0]).any()


def test_frames_go_wrong_one_by_one_and_utterances_as_a_whole():
    assert {*wrong("utterances", 0.2)[0].mean(axis=1)} == {0.0, 1.0}
    is_wrong, drawn = wrong("frames", 0.4)
    assert ((is_wrong.mean(axis=1) > 0.2) & (is_wrong.mean(axis=1) < 0.6)).all()
    german = np.array(OWN) == 1
    assert {*drawn[german].flatten()} == {0, 1, 2}


@torch.no_grad()
def test_entropy_and_scale_of_the_scores():
    torch.manual_seed(0)
    attention, x = SelfAttention(2, 8, 0.0, "", None), 5 * torch.randn(6, 8)
    frames = PackedFrames.in_time_order(torch.tensor([6]), (1, 6))
    expected = attention(x, frames, None)
    with wrong_experts.recorded(attention) as record:
        assert torch.equal(attention(x, frames, None), expected)
    q, k = (projection(x, frames.spans).view(6, 2, 4).transpose(0, 1) for projection in (
        attention.linear_q, attention.linear_k))
    scores = (q @ k.transpose(1, 2) / 2).double()
    (seen,) = record
    assert seen["scale"] == pytest.approx(scores.std(dim=-1, correction=0).flatten().tolist(), abs=1e-5)
    entropy = torch.distributions.Categorical(logits=scores).entropy()
    assert seen["entropy"] == pytest.approx(entropy.flatten().tolist(), abs=1e-5)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of two models, and of their data."""
    root = tmp_path_factory.mktemp("models")
    for name, block in (("KQ", "transformer"), ("VO", "conformer")):
        conf = {**CONFIG["encoder_conf"], "attention_experts": name.lower(), "block_type": block}
        write_model(root / name, encoder_conf=conf, specaug=None)
    data = write_data_dir(root / "data", [*LANGUAGES, "de"])
    (data / "text").write_text("".join(f"utt{n} ab c\n" for n in range(4)), encoding="utf-8")
    return root


def test_with_nothing_wrong_it_is_the_recogniser_with_the_languages_given(models):
    speech = wrong_experts.Speech.of(models / "data", None)
    texts = wrong_experts.Model(str(models / "VO"), speech).recognise("frames", 0.0, seed=0)
    speech2text = Speech2Text.from_pretrained(models / "VO", vad="none")
    given = speech2text.batch(speech.files, [[language] for language in speech.languages])
    assert [" ".join(texts[u].split()) for u in speech.ids] == [transcript.text for transcript in given]


def test_the_tables_and_that_a_run_goes_on(models, tmp_path, capsys):
    options = ["--data_dir", str(models / "data"), "--results", str(tmp_path / "results.jsonl")]
    wrong_experts.main([f"KQ={models / 'KQ'}", *options])
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(lines) == len(wrong_experts.CONDITIONS) + 1
    (tmp_path / "results.jsonl").write_text("\n".join(lines[:3]) + "\n")
    capsys.readouterr()
    wrong_experts.main([f"KQ={models / 'KQ'}", f"VO={models / 'VO'}", *options])
    assert sorted((tmp_path / "results.jsonl").read_text().splitlines()[: len(lines)]) == sorted(lines)
    table = capsys.readouterr().out.splitlines()
    cells = [line.strip("|").split("|") for line in table if line.startswith(("|KQ", "|VO"))]
    errors, blocks, gradients = cells[:8], cells[8:12], cells[12:]
    rows = [[name, kind] for name in ("KQ", "VO") for kind in wrong_experts.KINDS]
    assert [row[:2] for row in errors] == rows * 2  # words, then characters
    assert [row[:2] for row in blocks] == [[name, block] for name in ("KQ", "VO") for block in "12"]
    assert all(0 < float(entropy) < math.log(100) for row in blocks for entropy in row[2:4])
    assert [row[0] for row in gradients] == ["KQ", "VO"]
    assert all(float(norm) > 0 for row in gradients for norm in row[1:])


def test_mistakes_end_in_one_sentence(models, tmp_path, capsys):
    options = ["--data_dir", str(models / "data"), "--results", str(tmp_path / "results.jsonl")]
    with pytest.raises(SystemExit):
        wrong_experts.main([str(models / "KQ"), *options])
    assert "give models as NAME=FOLDER" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="^wrong_experts: .*nowhere"):
        wrong_experts.main([f"KQ={models / 'nowhere'}", *options])
    (tmp_path / "data").mkdir()
    for table in ("wav.scp", "text", "utt2lang"):
        shutil.copy(models / "data" / table, tmp_path / "data")
    (tmp_path / "data/text").write_text("utt0 ab c\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="data/text has no line for utterance utt1; add it, or take it out of wav.scp"):
        wrong_experts.main([f"KQ={models / 'KQ'}", "--data_dir", str(tmp_path / "data"), *options[2:]])
    write_model(tmp_path / "one", encoder_conf={**CONFIG["encoder_conf"], "experts": {"all": list(LANGUAGES)}})
    with pytest.raises(SystemExit, match="one has one expert, so there is no wrong one"):
        wrong_experts.main([f"one={tmp_path / 'one'}", *options])
