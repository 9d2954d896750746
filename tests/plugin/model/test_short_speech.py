"""Speech shorter than one frame of the encoder: the same silence follows it in recognition, training and scores."""

import numpy as np
import pytest
import soundfile
import torch
from encoders import CONVOLUTIONS
from tiny import CONFIG, HOP, RATE, batch_of, build_model, speech_of, write_data_dir, write_model, write_training_config

from espnet_blrmoe import Speech2Text
from espnet_blrmoe.inference.lid_scores import hear
from espnet_blrmoe.model.asr_model import BLRMoEModel
from espnet_blrmoe.model.prior import LanguageChoice
from espnet_blrmoe.training.router_task import RouterModel

FRONT_ENDS = {
    "default": {},
    "centred": {"frontend_conf": {**CONFIG["frontend_conf"], "center": True}},
    "normalised": {"normalize": "utterance_mvn"},
    "normalised by its speech": {"normalize": "speech_mvn"},
    "sliding_window": {"frontend": "sliding_window", "frontend_conf": {"fs": RATE}, "preencoder": "sinc"},
}
LENGTHS = (1, 240, 4000)  # samples: one, 30 ms, half a second


def short_batch(samples: tuple[int, ...] = LENGTHS, beyond: float = 0.0) -> dict:
    """A batch of utterances of these lengths; what is beyond an utterance's end has that value."""
    batch = batch_of(["en", "de", "zh-CN"][: len(samples)])
    batch["speech"] = torch.full((len(samples), max(samples)), beyond)
    for row, length in zip(batch["speech"], samples):
        row[:length] = torch.from_numpy(speech_of(1.0, seed=length)[:length])
    return {**batch, "speech_lengths": torch.tensor(samples)}


def model_of(folder, **changes) -> BLRMoEModel:
    return build_model(write_training_config(folder, **changes)).eval()


def encoded(model: BLRMoEModel, batch: dict) -> list[torch.Tensor]:
    """The encoder's output of every utterance."""
    output, lengths, _ = model.encode_with_routing(batch["speech"], batch["speech_lengths"], LanguageChoice())
    return [own[:length] for own, length in zip(output, lengths.tolist())]


@pytest.mark.parametrize("input_layer", CONVOLUTIONS)
def test_it_has_one_frame_behind_any_convolutions(tmp_path, input_layer):
    model = model_of(tmp_path, encoder_conf={**CONFIG["encoder_conf"], "input_layer": input_layer})
    assert len(encoded(model, short_batch())[0]) == 1
    assert len(encoded(model, short_batch((model.shortest_speech,)))[0]) == 1
    assert len(encoded(model, short_batch((model.shortest_speech + HOP * model.encoder.embed.factor,)))[0]) == 2


@pytest.mark.parametrize("changes", FRONT_ENDS.values(), ids=FRONT_ENDS)
def test_what_follows_is_silence_and_what_is_long_enough_stays(tmp_path, changes):
    model = model_of(tmp_path, **changes)
    batch = short_batch()
    with_silence = {**batch, "speech_lengths": batch["speech_lengths"].clamp(min=model.shortest_speech)}
    for own, expected in zip(encoded(model, batch), encoded(model, with_silence), strict=True):
        torch.testing.assert_close(own, expected)
    for n, length in enumerate(LENGTHS[:2]):  # alone, the silence has to be added
        alone = encoded(model, short_batch((length,)))[0]
        torch.testing.assert_close(alone, encoded(model, batch)[n], atol=1e-5, rtol=1e-4)


def test_what_is_beyond_its_end_does_not_count(tmp_path):
    model = model_of(tmp_path)
    for own, expected in zip(encoded(model, short_batch(beyond=0.5)), encoded(model, short_batch())):
        torch.testing.assert_close(own, expected)


def test_training_validation_statistics_and_the_routers_training_take_it(tiny_model):
    model, batch = build_model(tiny_model.config), short_batch()
    for is_training in (True, False):
        loss, stats, _ = model.train(is_training)(**batch)
        assert loss.isfinite() and stats["loss_lid"].isfinite()
        loss, _, _ = RouterModel(model).train(is_training)(**batch)
        assert loss.isfinite()
    window = model.encoder.embed.window
    assert model.collect_feats(**batch)["feats_lengths"].tolist() == [window, window, (4000 - 128) // HOP + 1]


def test_scores_of_the_router_are_those_of_recognition(tmp_path):
    model = write_model(tmp_path / "asr")
    data = write_data_dir(tmp_path / "data", ["en", "de", "zh-CN"])
    for n, length in enumerate((3, 240)):  # in a vowel: recognition tells silence and a single sample from speech
        soundfile.write(data / f"utt{n}.wav", speech_of(1.0, seed=n)[800:][:length], RATE, subtype="FLOAT")
    speech2text = Speech2Text(model.config, model.weights)
    heard = hear(speech2text.asr_model, RATE, data)
    transcripts = speech2text.batch([data / f"utt{n}.wav" for n in range(3)])
    assert heard.frames[:2].tolist() == [1, 1]
    for probs, transcript in zip(heard.probs, transcripts):
        assert float(probs.max()) == pytest.approx(transcript.language_probability, abs=1e-5)


def test_recognition_pads_as_it_did(tmp_path):
    """Silence by hand and silence by the model are the same."""
    model = write_model(tmp_path / "asr")
    speech2text = Speech2Text(model.config, model.weights)
    speech = speech_of(1.0, seed=1)[:240]
    by_hand = np.pad(speech, (0, speech2text.asr_model.shortest_speech - 240))
    transcripts = speech2text.batch([speech, by_hand])
    assert transcripts[0].frames == transcripts[1].frames
    assert transcripts[0].language_probability == pytest.approx(transcripts[1].language_probability, abs=1e-6)
    assert transcripts[0].chunks[0].end == 0.03
